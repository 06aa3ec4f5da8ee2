# Commands for gdb at a Tollgate. What is in capitals and not defined here stands before this
# text: it is generated from the vocabulary, the policy and the binaries.

import subprocess
import tempfile

import gdb

PAGE = 4096
EXIT_CODE = OFFSETS["exit_code"]
INFO1, INFO2 = OFFSETS["exit_info1"], OFFSETS["exit_info2"]
ASID, RIP = OFFSETS["guest_asid"], OFFSETS["rip"]


class Seen:
    """What the internal breakpoints have seen: the vCPU that runs, and the VMM's own CR3."""

    vmcb = None
    cr3 = None


class Physical:
    """Within it, addresses are the machine's own: where the guest runs they are the guest's."""

    def __enter__(self):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)

    def __exit__(self, *_):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)


def register(name):
    return int(gdb.selected_frame().read_register(name)) & (1 << 64) - 1


def number(address, size):
    memory = gdb.selected_inferior().read_memory(address, size)
    return int.from_bytes(bytes(memory), "little")


def vm_name(vmcb):
    asid = number(vmcb + ASID, 4)
    return VMS.get(asid, "of ASID %d" % asid)


def exit_name(code):
    return NAMES.get(code, "%xh" % code)


def vmexit(vmcb):
    code = number(vmcb + EXIT_CODE, 8)
    if code & 0xFFFFFFFF == 0xFFFFFFFF:
        code = 0xFFFFFFFFFFFFFFFF
    return "%s: %s (%xh), RIP %xh, EXITINFO1 %xh, EXITINFO2 %xh" % (
        vm_name(vmcb),
        exit_name(code),
        code,
        number(vmcb + RIP, 8),
        number(vmcb + INFO1, 8),
        number(vmcb + INFO2, 8),
    )


def given_vmcb(argument):
    """The address that somebody typed, or the vCPU that ran last."""
    if argument.strip():
        return int(gdb.parse_and_eval(argument))
    if Seen.vmcb is None:
        raise gdb.GdbError("no VM has run yet; break-vmexit NAME and continue, or vmcb ADDRESS")
    return Seen.vmcb


class Switch(gdb.Breakpoint):
    """At the world switch: which vCPU runs. Nobody is stopped."""

    def __init__(self, address):
        super().__init__("*%#x" % address, type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
        self.silent = True

    def stop(self):
        Seen.vmcb = register("rdi")
        Seen.cr3 = register("cr3")
        return False


class AtVmexit(gdb.Breakpoint):
    """At the dispatch of some exits."""

    def __init__(self, address, code):
        super().__init__("*%#x" % address, type=gdb.BP_HARDWARE_BREAKPOINT)
        self.code = code

    def stop(self):
        vmcb = register("rdi")
        if self.code is not None and number(vmcb + EXIT_CODE, 8) != self.code:
            return False
        Seen.vmcb = vmcb
        print(vmexit(vmcb))
        return True


class AtGuest(gdb.Breakpoint):
    """At a function of the guest. The VMM may have code at the same address."""

    def __init__(self, name, address):
        super().__init__("*%#x" % address, type=gdb.BP_HARDWARE_BREAKPOINT)
        self.function = name

    def stop(self):
        is_guest = Seen.cr3 is not None and register("cr3") != Seen.cr3
        if is_guest:
            print("%s of the guest" % self.function)
        return is_guest


class Vmcb(gdb.Command):
    """vmcb [ADDRESS]: the VMCB of the vCPU that ran last, or the one there, in words."""

    def __init__(self):
        super().__init__("vmcb", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        vmcb = given_vmcb(argument)
        with Physical(), tempfile.NamedTemporaryFile() as dump:
            name = vm_name(vmcb)
            dump.write(bytes(gdb.selected_inferior().read_memory(vmcb, PAGE)))
            dump.flush()
            command = [TOOL, "vmcb-docs", "--decode", dump.name]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print("VMCB of VM %s at %#x" % (name, vmcb))
        print(text, end="")


class Vmexit(gdb.Command):
    """vmexit [ADDRESS]: what the vCPU that ran last stopped for, on one line."""

    def __init__(self):
        super().__init__("vmexit", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        vmcb = given_vmcb(argument)
        with Physical():
            print(vmexit(vmcb))


class BreakVmexit(gdb.Command):
    """break-vmexit [NAME]: stop where the VMM answers this exit of a guest, or any."""

    def __init__(self):
        super().__init__("break-vmexit", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, from_tty):
        name = argument.strip()
        codes = {exit: code for code, exit in NAMES.items()}
        if name and name not in codes:
            raise gdb.GdbError("there is no exit %s; `cargo vmm explain` knows them" % name)
        for address in DISPATCH:
            AtVmexit(address, codes.get(name))

    def complete(self, text, word):
        return [name for name in NAMES.values() if name.startswith(text)]


class BreakAt(gdb.Command):
    """break-at NAME: stop at a function of the VMM or of the guest, by the end of its name."""

    def __init__(self):
        super().__init__("break-at", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        found = [
            (name, address, guest)
            for table, guest in ((VMM, False), (GUEST, True))
            for name, address in table.items()
            if name == wanted or name.endswith("::" + wanted)
        ]
        if not wanted or len(found) != 1:
            there = ", ".join(sorted(name for name, _, _ in found)) or "none"
            raise gdb.GdbError("name one function; of that name there is: %s" % there)
        name, address, guest = found[0]
        print("%s of the %s" % (name, "guest" if guest else "VMM"))
        if guest:
            AtGuest(name, address)
        else:
            gdb.Breakpoint("*%#x" % address, type=gdb.BP_HARDWARE_BREAKPOINT)


for command in (Vmcb, Vmexit, BreakVmexit, BreakAt):
    command()
for address in SWITCHES:
    Switch(address)
