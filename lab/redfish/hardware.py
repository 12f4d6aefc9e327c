"""The hardware part of the Redfish tree: processors, interfaces, drives, and the chassis with its readings."""

from lab.machine import Machine
from lab.redfish.shapes import CHASSIS_PATH, MANAGER_PATH, OK, SYSTEM_PATH, Body, collection, head, link


def processors(*, machine: Machine) -> list[Body]:
    node = machine.node
    base = f"{SYSTEM_PATH}/Processors"
    bodies: list[Body] = [
        {
            **head(f"{base}/CPU{number}", "Processor.v1_20_0.Processor", f"CPU{number}", f"Processor {number}"),
            "ProcessorType": "CPU",
            "ProcessorArchitecture": "x86",
            "InstructionSet": "x86-64",
            "TotalCores": node.cpu_cores // 2,
            "TotalThreads": node.cpu_cores,
            "Status": OK,
        }
        for number in range(2)
    ]
    bodies += [
        {
            **head(f"{base}/GPU{number}", "Processor.v1_20_0.Processor", f"GPU{number}", f"GPU {number}"),
            "ProcessorType": "GPU",
            "Manufacturer": "NVIDIA",
            "Model": node.gpu_model,
            "SerialNumber": serial,
            "UUID": uuid.removeprefix("GPU-"),
            "MemorySummary": {"TotalMemorySizeMiB": node.gpu_memory_mib},
            "Status": OK,
        }
        for number, (serial, uuid) in enumerate(zip(node.gpu_serials, node.gpu_uuids, strict=True))
    ]
    return [collection(base, "Processor", [body["@odata.id"] for body in bodies]), *bodies]


def interfaces(*, machine: Machine) -> list[Body]:
    base = f"{SYSTEM_PATH}/EthernetInterfaces"
    interface = {
        **head(f"{base}/1", "EthernetInterface.v1_12_0.EthernetInterface", "1", "eno1"),
        "MACAddress": machine.node.mac,
        "PermanentMACAddress": machine.node.mac,
        "InterfaceEnabled": True,
        "LinkStatus": "LinkUp",
        "SpeedMbps": 25000,
        "Status": OK,
    }
    return [collection(base, "EthernetInterface", [f"{base}/1"]), interface]


def storage(*, machine: Machine) -> list[Body]:
    base = f"{SYSTEM_PATH}/Storage"
    drives: list[Body] = [
        {
            **head(f"{base}/1/Drives/{drive.name}", "Drive.v1_20_0.Drive", drive.name, drive.name),
            "Model": drive.model,
            "SerialNumber": drive.serial,
            "CapacityBytes": drive.size_bytes,
            "MediaType": "SSD",
            "Protocol": "NVMe" if drive.nvme else "SATA",
            "Status": OK,
        }
        for drive in machine.node.drives
    ]
    unit = {
        **head(f"{base}/1", "Storage.v1_17_0.Storage", "1", "Local storage"),
        "Drives": [link(body["@odata.id"]) for body in drives],
        "Drives@odata.count": len(drives),
        "Status": OK,
    }
    return [collection(base, "Storage", [f"{base}/1"]), unit, *drives]


def chassis(*, machine: Machine) -> list[Body]:
    watts = machine.power_reading_w()
    sensors = f"{CHASSIS_PATH}/Sensors"
    power_sensor = {
        **head(f"{sensors}/TotalPower", "Sensor.v1_9_0.Sensor", "TotalPower", "Total power"),
        "ReadingType": "Power",
        "ReadingUnits": "W",
        "Reading": watts,
        "Status": OK,
    }
    inlet = {
        **head(f"{sensors}/InletTemp", "Sensor.v1_9_0.Sensor", "InletTemp", "Inlet temperature"),
        "ReadingType": "Temperature",
        "ReadingUnits": "Cel",
        "Reading": 23 if machine.power_on else 21,
        "Status": OK,
    }
    chassis = {
        **head(CHASSIS_PATH, "Chassis.v1_25_0.Chassis", "1", "Chassis"),
        "ChassisType": "RackMount",
        "Manufacturer": "Chapek Lab",
        "Model": f"HGX-8{machine.node.gpu_model}",
        "SerialNumber": machine.node.serial,
        "PowerState": "On" if machine.power_on else "Off",
        "IndicatorLED": "Off",
        "Location": {"Placement": {"Rack": machine.node.rack}},
        "Power": link(f"{CHASSIS_PATH}/Power"),
        "Thermal": link(f"{CHASSIS_PATH}/Thermal"),
        "Sensors": link(sensors),
        "EnvironmentMetrics": link(f"{CHASSIS_PATH}/EnvironmentMetrics"),
        "Links": {"ComputerSystems": [link(SYSTEM_PATH)], "ManagedBy": [link(MANAGER_PATH)]},
        "Status": OK,
    }
    power = {
        **head(f"{CHASSIS_PATH}/Power", "Power.v1_7_2.Power", "Power", "Power"),
        "PowerControl": [
            {
                "@odata.id": f"{CHASSIS_PATH}/Power#/PowerControl/0",
                "MemberId": "0",
                "Name": "System power control",
                "PowerConsumedWatts": watts,
                "PowerCapacityWatts": 18000,
                "PowerMetrics": {"IntervalInMin": 1, "AverageConsumedWatts": watts},
                "Status": OK,
            }
        ],
        "PowerSupplies": [],
    }
    thermal = {
        **head(f"{CHASSIS_PATH}/Thermal", "Thermal.v1_7_3.Thermal", "Thermal", "Thermal"),
        "Temperatures": [
            {
                "@odata.id": f"{CHASSIS_PATH}/Thermal#/Temperatures/0",
                "MemberId": "0",
                "Name": "Inlet temperature",
                "ReadingCelsius": inlet["Reading"],
                "PhysicalContext": "Intake",
                "Status": OK,
            }
        ],
        "Fans": [],
    }
    metrics = {
        **head(
            f"{CHASSIS_PATH}/EnvironmentMetrics",
            "EnvironmentMetrics.v1_4_0.EnvironmentMetrics",
            "EnvironmentMetrics",
            "Environment",
        ),
        "PowerWatts": {"DataSourceUri": f"{sensors}/TotalPower", "Reading": watts},
        "TemperatureCelsius": {"DataSourceUri": f"{sensors}/InletTemp", "Reading": inlet["Reading"]},
    }
    listing = collection(sensors, "Sensor", [f"{sensors}/TotalPower", f"{sensors}/InletTemp"])
    return [chassis, power, thermal, metrics, listing, power_sensor, inlet]
