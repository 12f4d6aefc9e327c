"""Names and shapes every Redfish resource shares."""

from typing import Any

ROOT = "/redfish/v1"
SYSTEM_PATH = f"{ROOT}/Systems/1"
MANAGER_PATH = f"{ROOT}/Managers/1"
CHASSIS_PATH = f"{ROOT}/Chassis/1"
SESSIONS_PATH = f"{ROOT}/SessionService/Sessions"
ACCOUNTS_PATH = f"{ROOT}/AccountService/Accounts"
RESET_PATH = f"{SYSTEM_PATH}/Actions/ComputerSystem.Reset"
MANAGER_RESET_PATH = f"{MANAGER_PATH}/Actions/Manager.Reset"

Body = dict[str, Any]
OK = {"State": "Enabled", "Health": "OK"}


def head(path: str, kind: str, identity: str, name: str) -> Body:
    return {"@odata.id": path, "@odata.type": f"#{kind}", "Id": identity, "Name": name}


def link(path: str) -> Body:
    return {"@odata.id": path}


def collection(path: str, kind: str, members: list[str]) -> Body:
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members@odata.count": len(members),
        "Members": [link(member) for member in members],
    }
