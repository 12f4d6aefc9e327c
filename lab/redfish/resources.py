"""The Redfish tree of one BMC: pure functions from the machine's state to resource bodies (DSP0266, DSP0268 names)."""

from lab.machine import RESCUE, STARTING, SYSTEM, Machine
from lab.redfish.hardware import chassis, interfaces, processors, storage
from lab.redfish.sessions import IDLE_S, Sessions
from lab.redfish.shapes import (
    ACCOUNTS_PATH,
    CHASSIS_PATH,
    MANAGER_PATH,
    MANAGER_RESET_PATH,
    OK,
    RESET_PATH,
    ROOT,
    SESSIONS_PATH,
    SYSTEM_PATH,
    Body,
    collection,
    head,
    link,
)

# Redfish's names for what lab.chassis calls boot devices.
BOOT_TARGETS = {"None": "none", "Pxe": "pxe", "UefiHttp": "http", "Hdd": "disk", "Cd": "cdrom", "BiosSetup": "bios"}
RESET_ACTIONS = {
    "On": "on",
    "ForceOff": "off",
    "GracefulShutdown": "soft",
    "ForceRestart": "reset",
    "GracefulRestart": "reset",
    "PowerCycle": "cycle",
    "PushPowerButton": "",
    "Nmi": "",
}
_PROGRESS = {
    "post": "SystemHardwareInitializationComplete",
    "setup": "SetupEntered",
    "network": "OSBootStarted",
    STARTING: "OSBootStarted",
    RESCUE: "OSRunning",
    SYSTEM: "OSRunning",
}


def tree(*, machine: Machine, sessions: Sessions) -> dict[str, Body]:
    """All resources of the BMC by path, as they are now."""
    bodies = [
        _service_root(machine),
        collection(f"{ROOT}/Systems", "ComputerSystem", [SYSTEM_PATH]),
        system(machine=machine),
        *processors(machine=machine),
        *interfaces(machine=machine),
        *storage(machine=machine),
        collection(f"{ROOT}/Managers", "Manager", [MANAGER_PATH]),
        _manager(machine),
        collection(f"{ROOT}/Chassis", "Chassis", [CHASSIS_PATH]),
        *chassis(machine=machine),
        *_session_service(sessions),
        *_account_service(machine),
    ]
    return {body["@odata.id"].rstrip("/"): body for body in bodies}


def system(*, machine: Machine) -> Body:
    node = machine.node
    device = machine.boot_device
    target = next(name for name, value in BOOT_TARGETS.items() if value == device)
    state = "On" if machine.power_on else "Off"
    return {
        **head(SYSTEM_PATH, "ComputerSystem.v1_22_0.ComputerSystem", "1", "System"),
        "SystemType": "Physical",
        "Manufacturer": "Chapek Lab",
        "Model": f"HGX-8{node.gpu_model}",
        "SKU": f"CK-8{node.gpu_model}",
        "SerialNumber": node.serial,
        "UUID": str(node.uuid),
        "HostName": "",
        "BiosVersion": "1.8.2",
        "PowerState": state,
        "Status": {"State": "Enabled" if machine.power_on else "Disabled", "Health": "OK", "HealthRollup": "OK"},
        "BootProgress": {"LastState": _PROGRESS.get(machine.phase, "None")},
        "Boot": {
            "BootSourceOverrideEnabled": "Disabled"
            if device == "none"
            else "Once"
            if machine.boot_once
            else "Continuous",
            "BootSourceOverrideTarget": target,
            "BootSourceOverrideTarget@Redfish.AllowableValues": list(BOOT_TARGETS),
            "BootSourceOverrideMode": "UEFI" if machine.boot_uefi else "Legacy",
            "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI", "Legacy"],
            "HttpBootUri": machine.http_boot_uri or None,
        },
        "MemorySummary": {"TotalSystemMemoryGiB": node.memory_gib, "Status": OK},
        "ProcessorSummary": {
            "Count": 2,
            "CoreCount": node.cpu_cores,
            "Model": "Intel(R) Xeon(R) 6 P-cores",
            "Status": OK,
        },
        "Processors": link(f"{SYSTEM_PATH}/Processors"),
        "EthernetInterfaces": link(f"{SYSTEM_PATH}/EthernetInterfaces"),
        "Storage": link(f"{SYSTEM_PATH}/Storage"),
        "Links": {"Chassis": [link(CHASSIS_PATH)], "ManagedBy": [link(MANAGER_PATH)]},
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": RESET_PATH,
                "ResetType@Redfish.AllowableValues": list(RESET_ACTIONS),
            }
        },
    }


def _service_root(machine: Machine) -> Body:
    return {
        **head(f"{ROOT}/", "ServiceRoot.v1_16_0.ServiceRoot", "RootService", "Root Service"),
        "RedfishVersion": "1.18.0",
        "UUID": str(machine.node.uuid),
        "Vendor": "Chapek Lab",
        "Product": "Emulated BMC",
        "ProtocolFeaturesSupported": {
            "ExpandQuery": {"ExpandAll": False, "Levels": False, "Links": False, "NoLinks": False},
            "FilterQuery": False,
            "SelectQuery": False,
        },
        "Systems": link(f"{ROOT}/Systems"),
        "Managers": link(f"{ROOT}/Managers"),
        "Chassis": link(f"{ROOT}/Chassis"),
        "SessionService": link(f"{ROOT}/SessionService"),
        "AccountService": link(f"{ROOT}/AccountService"),
        "Links": {"Sessions": link(SESSIONS_PATH)},
    }


def _manager(machine: Machine) -> Body:
    return {
        **head(MANAGER_PATH, "Manager.v1_19_0.Manager", "1", "Manager"),
        "ManagerType": "BMC",
        "Model": "Emulated BMC",
        "FirmwareVersion": "2.14.0",
        "UUID": str(machine.node.uuid),
        "PowerState": "On",
        "Status": OK,
        "Links": {"ManagerForServers": [link(SYSTEM_PATH)], "ManagerForChassis": [link(CHASSIS_PATH)]},
        "Actions": {
            "#Manager.Reset": {
                "target": MANAGER_RESET_PATH,
                "ResetType@Redfish.AllowableValues": ["GracefulRestart", "ForceRestart"],
            }
        },
    }


def _session_service(sessions: Sessions) -> list[Body]:
    members = [
        {
            **head(f"{SESSIONS_PATH}/{number}", "Session.v1_7_0.Session", number, f"Session {number}"),
            "UserName": session.username,
        }
        for number in sessions.ids()
        if (session := sessions.get(session_id=number)) is not None
    ]
    service = {
        **head(f"{ROOT}/SessionService", "SessionService.v1_1_9.SessionService", "SessionService", "Session Service"),
        "ServiceEnabled": True,
        "SessionTimeout": int(IDLE_S),
        "Sessions": link(SESSIONS_PATH),
        "Status": OK,
    }
    return [service, collection(SESSIONS_PATH, "Session", [body["@odata.id"] for body in members]), *members]


def _account_service(machine: Machine) -> list[Body]:
    service = {
        **head(f"{ROOT}/AccountService", "AccountService.v1_15_1.AccountService", "AccountService", "Account Service"),
        "ServiceEnabled": True,
        "AccountLockoutThreshold": 0,
        "MaxPasswordLength": 20,
        "Accounts": link(ACCOUNTS_PATH),
        "Status": OK,
    }
    account = {
        **head(f"{ACCOUNTS_PATH}/1", "ManagerAccount.v1_12_1.ManagerAccount", "1", "Account"),
        "UserName": machine.node.bmc.username,
        "RoleId": "Administrator",
        "Enabled": True,
        "Locked": False,
        "Password": None,
        "AccountTypes": ["Redfish"],
    }
    return [service, collection(ACCOUNTS_PATH, "ManagerAccount", [f"{ACCOUNTS_PATH}/1"]), account]
