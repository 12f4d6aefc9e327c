"""The Redfish tree of one BMC: pure functions from the machine's state to resource bodies (DSP0266, DSP0268 names)."""

from typing import Any

from lab.machine import RESCUE, STARTING, SYSTEM, Machine
from lab.redfish.sessions import IDLE_S, Sessions

ROOT = "/redfish/v1"
SYSTEM_PATH = f"{ROOT}/Systems/1"
MANAGER_PATH = f"{ROOT}/Managers/1"
CHASSIS_PATH = f"{ROOT}/Chassis/1"
SESSIONS_PATH = f"{ROOT}/SessionService/Sessions"
ACCOUNTS_PATH = f"{ROOT}/AccountService/Accounts"
RESET_PATH = f"{SYSTEM_PATH}/Actions/ComputerSystem.Reset"
MANAGER_RESET_PATH = f"{MANAGER_PATH}/Actions/Manager.Reset"

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
_OK = {"State": "Enabled", "Health": "OK"}

Body = dict[str, Any]


def tree(*, machine: Machine, sessions: Sessions) -> dict[str, Body]:
    """All resources of the BMC by path, as they are now."""
    bodies = [
        _service_root(machine),
        _collection(f"{ROOT}/Systems", "ComputerSystem", [SYSTEM_PATH]),
        system(machine=machine),
        *_processors(machine),
        *_interfaces(machine),
        *_storage(machine),
        _collection(f"{ROOT}/Managers", "Manager", [MANAGER_PATH]),
        _manager(machine),
        _collection(f"{ROOT}/Chassis", "Chassis", [CHASSIS_PATH]),
        *_chassis(machine),
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
        **_head(SYSTEM_PATH, "ComputerSystem.v1_22_0.ComputerSystem", "1", "System"),
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
            "BootSourceOverrideEnabled": "Disabled" if device == "none" else "Once" if machine.boot_once else "Continuous",
            "BootSourceOverrideTarget": target,
            "BootSourceOverrideTarget@Redfish.AllowableValues": list(BOOT_TARGETS),
            "BootSourceOverrideMode": "UEFI" if machine.boot_uefi else "Legacy",
            "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI", "Legacy"],
            "HttpBootUri": machine.http_boot_uri or None,
        },
        "MemorySummary": {"TotalSystemMemoryGiB": node.memory_gib, "Status": _OK},
        "ProcessorSummary": {"Count": 2, "CoreCount": node.cpu_cores, "Model": "Intel(R) Xeon(R) 6 P-cores", "Status": _OK},
        "Processors": _link(f"{SYSTEM_PATH}/Processors"),
        "EthernetInterfaces": _link(f"{SYSTEM_PATH}/EthernetInterfaces"),
        "Storage": _link(f"{SYSTEM_PATH}/Storage"),
        "Links": {"Chassis": [_link(CHASSIS_PATH)], "ManagedBy": [_link(MANAGER_PATH)]},
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": RESET_PATH,
                "ResetType@Redfish.AllowableValues": list(RESET_ACTIONS),
            }
        },
    }


def _service_root(machine: Machine) -> Body:
    return {
        **_head(f"{ROOT}/", "ServiceRoot.v1_16_0.ServiceRoot", "RootService", "Root Service"),
        "RedfishVersion": "1.18.0",
        "UUID": str(machine.node.uuid),
        "Vendor": "Chapek Lab",
        "Product": "Emulated BMC",
        "ProtocolFeaturesSupported": {
            "ExpandQuery": {"ExpandAll": False, "Levels": False, "Links": False, "NoLinks": False},
            "FilterQuery": False,
            "SelectQuery": False,
        },
        "Systems": _link(f"{ROOT}/Systems"),
        "Managers": _link(f"{ROOT}/Managers"),
        "Chassis": _link(f"{ROOT}/Chassis"),
        "SessionService": _link(f"{ROOT}/SessionService"),
        "AccountService": _link(f"{ROOT}/AccountService"),
        "Links": {"Sessions": _link(SESSIONS_PATH)},
    }


def _processors(machine: Machine) -> list[Body]:
    node = machine.node
    base = f"{SYSTEM_PATH}/Processors"
    bodies: list[Body] = []
    for number in range(2):
        bodies.append(
            {
                **_head(f"{base}/CPU{number}", "Processor.v1_20_0.Processor", f"CPU{number}", f"Processor {number}"),
                "ProcessorType": "CPU",
                "ProcessorArchitecture": "x86",
                "InstructionSet": "x86-64",
                "TotalCores": node.cpu_cores // 2,
                "TotalThreads": node.cpu_cores,
                "Status": _OK,
            }
        )
    for number, (serial, uuid) in enumerate(zip(node.gpu_serials, node.gpu_uuids, strict=True)):
        bodies.append(
            {
                **_head(f"{base}/GPU{number}", "Processor.v1_20_0.Processor", f"GPU{number}", f"GPU {number}"),
                "ProcessorType": "GPU",
                "Manufacturer": "NVIDIA",
                "Model": node.gpu_model,
                "SerialNumber": serial,
                "UUID": uuid.removeprefix("GPU-"),
                "MemorySummary": {"TotalMemorySizeMiB": node.gpu_memory_mib},
                "Status": _OK,
            }
        )
    return [_collection(base, "Processor", [body["@odata.id"] for body in bodies]), *bodies]


def _interfaces(machine: Machine) -> list[Body]:
    base = f"{SYSTEM_PATH}/EthernetInterfaces"
    interface = {
        **_head(f"{base}/1", "EthernetInterface.v1_12_0.EthernetInterface", "1", "eno1"),
        "MACAddress": machine.node.mac,
        "PermanentMACAddress": machine.node.mac,
        "InterfaceEnabled": True,
        "LinkStatus": "LinkUp",
        "SpeedMbps": 25000,
        "Status": _OK,
    }
    return [_collection(base, "EthernetInterface", [f"{base}/1"]), interface]


def _storage(machine: Machine) -> list[Body]:
    base = f"{SYSTEM_PATH}/Storage"
    drives: list[Body] = [
        {
            **_head(f"{base}/1/Drives/{drive.name}", "Drive.v1_20_0.Drive", drive.name, drive.name),
            "Model": drive.model,
            "SerialNumber": drive.serial,
            "CapacityBytes": drive.size_bytes,
            "MediaType": "SSD",
            "Protocol": "NVMe" if drive.nvme else "SATA",
            "Status": _OK,
        }
        for drive in machine.node.drives
    ]
    unit = {
        **_head(f"{base}/1", "Storage.v1_17_0.Storage", "1", "Local storage"),
        "Drives": [_link(body["@odata.id"]) for body in drives],
        "Drives@odata.count": len(drives),
        "Status": _OK,
    }
    return [_collection(base, "Storage", [f"{base}/1"]), unit, *drives]


def _manager(machine: Machine) -> Body:
    return {
        **_head(MANAGER_PATH, "Manager.v1_19_0.Manager", "1", "Manager"),
        "ManagerType": "BMC",
        "Model": "Emulated BMC",
        "FirmwareVersion": "2.14.0",
        "UUID": str(machine.node.uuid),
        "PowerState": "On",
        "Status": _OK,
        "Links": {"ManagerForServers": [_link(SYSTEM_PATH)], "ManagerForChassis": [_link(CHASSIS_PATH)]},
        "Actions": {
            "#Manager.Reset": {
                "target": MANAGER_RESET_PATH,
                "ResetType@Redfish.AllowableValues": ["GracefulRestart", "ForceRestart"],
            }
        },
    }


def _chassis(machine: Machine) -> list[Body]:
    watts = machine.power_reading_w()
    sensors = f"{CHASSIS_PATH}/Sensors"
    power_sensor = {
        **_head(f"{sensors}/TotalPower", "Sensor.v1_9_0.Sensor", "TotalPower", "Total power"),
        "ReadingType": "Power",
        "ReadingUnits": "W",
        "Reading": watts,
        "Status": _OK,
    }
    inlet = {
        **_head(f"{sensors}/InletTemp", "Sensor.v1_9_0.Sensor", "InletTemp", "Inlet temperature"),
        "ReadingType": "Temperature",
        "ReadingUnits": "Cel",
        "Reading": 23 if machine.power_on else 21,
        "Status": _OK,
    }
    chassis = {
        **_head(CHASSIS_PATH, "Chassis.v1_25_0.Chassis", "1", "Chassis"),
        "ChassisType": "RackMount",
        "Manufacturer": "Chapek Lab",
        "Model": f"HGX-8{machine.node.gpu_model}",
        "SerialNumber": machine.node.serial,
        "PowerState": "On" if machine.power_on else "Off",
        "IndicatorLED": "Off",
        "Location": {"Placement": {"Rack": machine.node.rack}},
        "Power": _link(f"{CHASSIS_PATH}/Power"),
        "Thermal": _link(f"{CHASSIS_PATH}/Thermal"),
        "Sensors": _link(sensors),
        "EnvironmentMetrics": _link(f"{CHASSIS_PATH}/EnvironmentMetrics"),
        "Links": {"ComputerSystems": [_link(SYSTEM_PATH)], "ManagedBy": [_link(MANAGER_PATH)]},
        "Status": _OK,
    }
    power = {
        **_head(f"{CHASSIS_PATH}/Power", "Power.v1_7_2.Power", "Power", "Power"),
        "PowerControl": [
            {
                "@odata.id": f"{CHASSIS_PATH}/Power#/PowerControl/0",
                "MemberId": "0",
                "Name": "System power control",
                "PowerConsumedWatts": watts,
                "PowerCapacityWatts": 18000,
                "PowerMetrics": {"IntervalInMin": 1, "AverageConsumedWatts": watts},
                "Status": _OK,
            }
        ],
        "PowerSupplies": [],
    }
    thermal = {
        **_head(f"{CHASSIS_PATH}/Thermal", "Thermal.v1_7_3.Thermal", "Thermal", "Thermal"),
        "Temperatures": [
            {
                "@odata.id": f"{CHASSIS_PATH}/Thermal#/Temperatures/0",
                "MemberId": "0",
                "Name": "Inlet temperature",
                "ReadingCelsius": inlet["Reading"],
                "PhysicalContext": "Intake",
                "Status": _OK,
            }
        ],
        "Fans": [],
    }
    metrics = {
        **_head(f"{CHASSIS_PATH}/EnvironmentMetrics", "EnvironmentMetrics.v1_4_0.EnvironmentMetrics", "EnvironmentMetrics", "Environment"),
        "PowerWatts": {"DataSourceUri": f"{sensors}/TotalPower", "Reading": watts},
        "TemperatureCelsius": {"DataSourceUri": f"{sensors}/InletTemp", "Reading": inlet["Reading"]},
    }
    listing = _collection(sensors, "Sensor", [f"{sensors}/TotalPower", f"{sensors}/InletTemp"])
    return [chassis, power, thermal, metrics, listing, power_sensor, inlet]


def _session_service(sessions: Sessions) -> list[Body]:
    members = [
        {
            **_head(f"{SESSIONS_PATH}/{number}", "Session.v1_7_0.Session", number, f"Session {number}"),
            "UserName": session.username,
        }
        for number in sessions.ids()
        if (session := sessions.get(session_id=number)) is not None
    ]
    service = {
        **_head(f"{ROOT}/SessionService", "SessionService.v1_1_9.SessionService", "SessionService", "Session Service"),
        "ServiceEnabled": True,
        "SessionTimeout": int(IDLE_S),
        "Sessions": _link(SESSIONS_PATH),
        "Status": _OK,
    }
    return [service, _collection(SESSIONS_PATH, "Session", [body["@odata.id"] for body in members]), *members]


def _account_service(machine: Machine) -> list[Body]:
    service = {
        **_head(f"{ROOT}/AccountService", "AccountService.v1_15_1.AccountService", "AccountService", "Account Service"),
        "ServiceEnabled": True,
        "AccountLockoutThreshold": 0,
        "MaxPasswordLength": 20,
        "Accounts": _link(ACCOUNTS_PATH),
        "Status": _OK,
    }
    account = {
        **_head(f"{ACCOUNTS_PATH}/1", "ManagerAccount.v1_12_1.ManagerAccount", "1", "Account"),
        "UserName": machine.node.bmc.username,
        "RoleId": "Administrator",
        "Enabled": True,
        "Locked": False,
        "Password": None,
        "AccountTypes": ["Redfish"],
    }
    return [service, _collection(ACCOUNTS_PATH, "ManagerAccount", [f"{ACCOUNTS_PATH}/1"]), account]


def _head(path: str, kind: str, identity: str, name: str) -> Body:
    return {"@odata.id": path, "@odata.type": f"#{kind}", "Id": identity, "Name": name}


def _link(path: str) -> Body:
    return {"@odata.id": path}


def _collection(path: str, kind: str, members: list[str]) -> Body:
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members@odata.count": len(members),
        "Members": [_link(member) for member in members],
    }
