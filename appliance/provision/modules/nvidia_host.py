"""Look at what decides how a host gets NVIDIA's driver: one call, no change.

The options are documented in ``nvidia_host.yml``.
"""

from __future__ import annotations

import grp
import platform
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.installed_packages import installed_versions

SECURE_BOOT = Path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
DRIVER_VERSION = Path("/proc/driver/nvidia/version")
DRIVER_PARAMS = Path("/proc/driver/nvidia/params")
NOUVEAU = Path("/sys/module/nouveau")
HEADERS = Path("/usr/src")
MODULES = Path("/lib/modules")
IMAGES = Path("/boot")

ROW_ENDS = "|;"

GENERATIONS = (
    # first device id of the range, its last, its name; as NVIDIA hands ids to its chips
    (0x0001, 0x133F, "before Maxwell"),
    (0x1340, 0x15EF, "Maxwell"),
    (0x15F0, 0x15FF, "Pascal"),
    (0x1600, 0x17FF, "Maxwell"),
    (0x1800, 0x1AFF, "before Maxwell"),
    (0x1B00, 0x1D7F, "Pascal"),
    (0x1D80, 0x1DFF, "Volta"),
    (0x1E00, 0x1FFF, "Turing"),
    (0x2080, 0x20FF, "Ampere"),
    (0x2180, 0x21FF, "Turing"),
    (0x2200, 0x22FF, "Ampere"),
    (0x2300, 0x23FF, "Hopper"),
    (0x2400, 0x25FF, "Ampere"),
    (0x2600, 0x28FF, "Ada"),
    (0x2900, 0x2FFF, "Blackwell"),
    (0x3180, 0x31FF, "Blackwell"),
)


def generation(device: str) -> str:
    """Return the name of a GPU's generation by its PCI id, ``10de:1eb8``; ``unknown`` for one after these."""
    number = int(device.partition(":")[2], 16)
    for first, last, name in GENERATIONS:
        if first <= number <= last:
            return name
    return "unknown"


def secure_boot(variable: Path = SECURE_BOOT) -> bool:
    """Tell whether the firmware lets the kernel load signed modules only (UEFI 2.10, 3.3)."""
    try:
        return variable.read_bytes()[4:5] == b"\1"  # four bytes of attributes come first (efivarfs)
    except OSError:
        return False


def loaded_driver(version: Path = DRIVER_VERSION) -> str:
    """Return the version of the driver that the running kernel has, empty for none."""
    try:
        found = re.search(r"Kernel Module\b.*?\s(\d+\.[\d.]+)\s", version.read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def device_options(params: Path = DRIVER_PARAMS) -> dict[str, int]:
    """Return owner, group and mode that the loaded driver has for its devices; empty when none is loaded."""
    try:
        text = params.read_text()
    except OSError:
        return {}
    found = re.findall(r"^DeviceFile(UID|GID|Mode): (\d+)$", text, re.MULTILINE)
    return {name.lower(): int(value) for name, value in found}


def candidate(module: AnsibleModule, package: str) -> str:
    """Return the version of a package that apt would install, empty for none (apt_preferences(5))."""
    _, out, _ = module.run_command(["apt-cache", "show", "--no-all-versions", package])
    found = re.search(r"^Version: (\S+)$", out, re.MULTILINE)
    return found[1] if found else ""


def available_versions(module: AnsibleModule, package: str) -> list[str]:
    """Return the versions of a package that the archive has, newest first, without Debian's revision."""
    _, out, _ = module.run_command(["apt-cache", "madison", package])
    rows = [line.split("|") for line in out.splitlines()]
    return list(dict.fromkeys(upstream(row[1].strip()) for row in rows if len(row) == 3))


def upstream(version: str) -> str:
    """Return a package's version without Debian's revision."""
    return version.partition("-")[0]


def kernel_packages(module: AnsibleModule, release: str) -> list[str]:
    """Return what a module for this kernel and for those after it needs; nothing where it is not Debian's.

    An archive has no headers any more for a kernel that it has replaced: then a newer kernel has to be
    there to restart into. Headers that are there already are not named: apt would keep them for ever.
    """
    kind, own = flavour(release), f"linux-headers-{release}"
    if not kind:
        return []
    needs = [f"linux-headers-{kind}"]
    if own not in installed_versions(module, [own]):
        needs.append(own if candidate(module, own) else f"linux-image-{kind}")
    return needs


def archives(module: AnsibleModule, own: str, components: list[str]) -> list[dict[str, Any]]:
    """Return where the host takes Debian's ``main`` from and ``components`` not, beside the file ``own``.

    Apt itself says it (apt-get(8), ``indextargets``), whatever form its sources are written in. A key that
    stands in the source itself takes several lines, and has to stand in another source of the same archive
    too: apt refuses all of them otherwise.
    """
    fields = ("ORIGIN", "SOURCESENTRY", "REPO_URI", "RELEASE", "COMPONENT", "SIGNED_BY")
    form = "|".join(f"$({field})" for field in fields) + ROW_ENDS
    _, out, _ = module.run_command(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    has: dict[tuple[str, str, str], set[str]] = {}
    for row in out.split(f"{ROW_ENDS}\n")[:-1]:
        origin, entry, uri, release, component, key = row.split("|", 5)
        if origin != "Debian" or entry.rpartition(":")[0] == own:
            continue
        key = "" if key.startswith("$") else key  # apt repeats the question where a source says nothing
        has.setdefault((uri, release, f"\n {key}" if "\n" in key else key), set()).add(component)
    found = []
    for (uri, release, key), present in sorted(has.items()):
        missing = [name for name in components if name not in present]
        if "main" in present and missing:
            found.append({"uri": uri, "suite": release, "signed_by": key, "components": missing})
    return found


def kernels(root: Path = HEADERS) -> list[str]:
    """Return the Debian kernels whose headers are there, so that a module can be built for them."""
    names = (path.name.removeprefix("linux-headers-") for path in root.glob("linux-headers-*"))
    return sorted(name for name in names if not name.endswith("-common"))


def images(root: Path = IMAGES) -> list[str]:
    """Return the kernels that the host can be started with."""
    return sorted(path.name.removeprefix("vmlinuz-") for path in root.glob("vmlinuz-*"))


def brought(record: Path) -> list[str]:
    """Return the packages that the role has noted as its own."""
    try:
        lines = record.read_text().splitlines()
    except OSError:
        return []
    return [line for line in lines if line and not line.startswith("#")]


def built_modules(module: AnsibleModule, names: list[str], root: Path = MODULES) -> dict[str, str]:
    """Return for which kernels DKMS has built the driver's module, and of which version (modinfo(8))."""
    found = {}
    for kernel in names:
        for path in sorted(root.joinpath(kernel, "updates", "dkms").glob("nvidia-current*.ko*")):
            if re.fullmatch(r"nvidia-current(-open)?\.ko(\.\w+)?", path.name):
                _, out, _ = module.run_command(["modinfo", "--field", "version", str(path)])
                found[kernel] = out.strip()
    return found


def flavour(release: str) -> str:
    """Return the flavour of a Debian kernel, `cloud-amd64`; empty for a kernel that is none of its."""
    found = re.fullmatch(r"\d[\w.+~]*?(?:\+deb\w+)?(?:-\d+)?-((?:[a-z]+-)?(?:amd64|arm64))", release)
    return found[1] if found else ""


def enrolled(module: AnsibleModule, key: str) -> bool:
    """Tell whether the firmware trusts a module's signing key (mokutil(1), ``--test-key``)."""
    program = module.get_bin_path("mokutil")
    if program is None:
        return False
    _, out, _ = module.run_command([program, "--test-key", key])
    return "is already enrolled" in out


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "pci_ids": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "required": True},
            "version_of": {"type": "str", "required": True},
            "components": {"type": "list", "elements": "str", "required": True},
            "sources_file": {"type": "path", "required": True},
            "signing_key": {"type": "path", "required": True},
            "device_group": {"type": "str", "required": True},
            "record": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    release, names = platform.release(), kernels()
    for_kernel = kernel_packages(module, release)
    ours = brought(Path(params["record"]))
    installed = installed_versions(module, [*params["packages"], *for_kernel, *ours])
    try:
        group = grp.getgrnam(params["device_group"]).gr_gid
    except KeyError:  # before the first run's users, in check mode
        group = -1
    module.exit_json(
        changed=False,
        gpus=[{"id": device, "generation": generation(device)} for device in params["pci_ids"]],
        kernel=release,
        flavour=flavour(release),
        kernels=names,
        images=images(),
        kernel_packages=for_kernel,
        built=built_modules(module, names),
        secure_boot=secure_boot(),
        signing_key_enrolled=enrolled(module, params["signing_key"]) if secure_boot() else False,
        loaded=loaded_driver(),
        device_options=device_options(),
        nouveau=NOUVEAU.is_dir(),
        installed=installed,
        version=upstream(installed.get(params["version_of"], "")),
        brought=ours,
        candidate=upstream(candidate(module, params["version_of"])),
        available=available_versions(module, params["version_of"]),
        archives=archives(module, params["sources_file"], params["components"]),
        device_group_id=group,
    )


if __name__ == "__main__":
    main()
