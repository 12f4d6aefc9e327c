"""What nodes fetch and report. Included at the root: boot loaders know these paths."""

from django.urls import path

from provisioning import views

app_name = "provisioning"
urlpatterns = [
    path("boot/mac/<str:mac>", views.script_for_mac, name="boot-mac"),
    path("boot/artefacts/<str:name>", views.artefact, name="boot-artefact"),
    path("boot/<str:token>/ipxe.efi", views.loader, name="boot-loader"),
    path("boot/<str:token>/autoexec.ipxe", views.script, name="boot-autoexec"),
    path("boot/<str:token>/script.ipxe", views.script, name="boot-script"),
    path("boot/<str:token>/report", views.report, name="boot-report"),
    path("boot/<str:token>/phone-home", views.phone_home, name="boot-phone-home"),
    path("images/<str:token>/<str:name>", views.image, name="image"),
]
