//! Physical interrupts, and whose they are.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, ax, dword_ptr, dx, eax, edi, esp, ptr, word_ptr};

use crate::harness::{Boot, trials};
use crate::in_a_vm::{POLICY, vm};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_line_that_the_policy_gives_to_a_vm_interrupts_it_again_and_again,
    a_line_that_nobody_owns_interrupts_nobody,
    a_non_maskable_interrupt_is_told_and_survived_with_the_guests_tr_loaded,
];

/// A second serial port of QEMU's, at a port and a line that no device of the VMM has.
const SERIAL: [&str; 5] = [
    "--",
    "-chardev",
    "null,id=third",
    "-device",
    "isa-serial,chardev=third,iobase=0x3e8,irq=5",
];
const PORT: u32 = 0x3e8;
const IRQ_5: u32 = 0x25;

/// Sets up segments, a gate for IRQ 5 that leads to what `handler` writes, and the PIC with IRQ 5
/// alone open.
fn set_up(
    a: &mut CodeAssembler,
    handler: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    const GDT: u32 = 0x3000;
    const IDT: u32 = 0x2000;
    const TABLE: u32 = 0x1ff0;
    let mut after = a.create_label();
    a.mov(esp, 0x9_0000)?;
    // The call leaves the handler's address on the stack.
    a.call(after)?;
    handler(a)?;
    a.set_label(&mut after)?;
    a.pop(eax)?;
    a.mov(word_ptr(IDT + IRQ_5 * 8), ax)?;
    a.shr(eax, 16)?;
    a.mov(word_ptr(IDT + IRQ_5 * 8 + 6), ax)?;
    a.mov(dword_ptr(IDT + IRQ_5 * 8 + 2), 0x8e00_0008u32)?;
    // A flat code segment for the gate's selector, 8.
    a.mov(dword_ptr(GDT + 8), 0x0000_ffff)?;
    a.mov(dword_ptr(GDT + 12), 0x00cf_9a00)?;
    for (base, limit) in [(GDT, 15), (IDT, 0x7ff)] {
        a.mov(word_ptr(TABLE), limit)?;
        a.mov(dword_ptr(TABLE + 2), base)?;
        if base == GDT {
            a.lgdt(ptr(TABLE))?;
        } else {
            a.lidt(ptr(TABLE))?;
        }
    }
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0x21, 0xdf),
    ] {
        out(a, port, value)?;
    }
    Ok(())
}

fn out(a: &mut CodeAssembler, port: u32, value: u32) -> Result<(), IcedError> {
    a.mov(dx, port)?;
    a.mov(al, value)?;
    a.out(dx, al)
}

/// Lets the serial port interrupt as soon as it has room to send, which is at once.
fn enable_serial(a: &mut CodeAssembler) -> Result<(), IcedError> {
    out(a, PORT + 4, 8)?;
    out(a, PORT + 1, 2)
}

fn a_line_that_the_policy_gives_to_a_vm_interrupts_it_again_and_again() {
    let kernel = tiny_guest(|a| {
        let mut wait = a.create_label();
        set_up(a, |a| {
            let mut more = a.create_label();
            // Reading why it interrupts satisfies the port; sending a byte makes it do so again.
            a.mov(dx, PORT + 2)?;
            a.in_(al, dx)?;
            out(a, 0x20, 0x20)?;
            a.dec(edi)?;
            a.jnz(more)?;
            power_off(a)?;
            a.set_label(&mut more)?;
            out(a, PORT, u32::from(b'x'))?;
            a.iretd()
        })?;
        a.mov(edi, 3)?;
        enable_serial(a)?;
        a.set_label(&mut wait)?;
        a.sti()?;
        a.hlt()?;
        a.jmp(wait)
    });
    let vmm = "[irq]\n1 = \"vmm\"\n4 = \"vmm\"";
    let to_the_vm = format!("{vmm}\n5 = {{ vm = \"demo\", ports = \"0x3e8-0x3ef\" }}");
    let ports = "[[vm.io]]\nports = \"0x3e8-0x3ef\"\naction = \"pass\"";
    let to_the_focus = format!("{ports}\n{vmm}\n5 = \"focus\"");
    for routes in [to_the_vm, to_the_focus] {
        Boot::policy(&POLICY.replace("#REST", &routes))
            .kernel(&kernel)
            .args(SERIAL)
            .run()
            .ends_with(0);
    }
}

fn a_line_that_nobody_owns_interrupts_nobody() {
    let kernel = tiny_guest(|a| {
        let mut wait = a.create_label();
        set_up(a, |a| a.ud2())?;
        enable_serial(a)?;
        // Long enough for an interrupt to come, were there one.
        a.mov(edi, 1_000_000)?;
        a.sti()?;
        a.set_label(&mut wait)?;
        a.dec(edi)?;
        a.jnz(wait)?;
        power_off(a)
    });
    let ports = "[[vm.io]]\nports = \"0x3e8-0x3ef\"\naction = \"pass\"";
    Boot::policy(&POLICY.replace("#REST", ports))
        .kernel(&kernel)
        .args(SERIAL)
        .run()
        .ends_with(0);
}

fn a_non_maskable_interrupt_is_told_and_survived_with_the_guests_tr_loaded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let monitor = folder.path().join("monitor");
    let server = format!("unix:{},server=on,wait=off", monitor.display());
    let (mut run, _folder) = vm("")
        .args([
            "--until",
            "non-maskable interrupt",
            "--",
            "-monitor",
            &server,
        ])
        .start();
    let mut heard = String::new();
    let mut output = run.stdout.take().expect("its output");
    while !heard.contains("tollgate> ") {
        let mut piece = [0; 256];
        let count = output.read(&mut piece).expect("output");
        assert!(count > 0, "it ended after\n{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let mut line = UnixStream::connect(&monitor).expect("QEMU's monitor");
    line.write_all(b"nmi\n").expect("QEMU's monitor");
    let mut rest = String::new();
    output
        .read_to_string(&mut rest)
        .expect("the rest of the output");
    let status = run.wait().expect("an end");
    assert_eq!(status.code(), Some(0), "{heard}{rest}");
}
