from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="bootsession",
            name="by_mac",
            field=models.BooleanField(
                default=False, help_text="The BMC cannot be told an address: the node may ask by its MAC address"
            ),
        ),
    ]
