//! Physical interrupts, and whose they are.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, dx, ebp, ecx, edi, esi};

use crate::harness::{Boot, trials};
use crate::in_a_vm::{POLICY, vm};
use crate::several_vms::{self, script, with_kernel};
use crate::tiny_guest::{
    EXIT_PORT, complain, end_interrupt, on_interrupt, out, power_off, tiny_guest,
};

trials![
    a_line_that_the_policy_gives_to_a_vm_interrupts_it_again_and_again,
    an_edge_that_comes_before_the_end_of_the_one_before_is_not_lost,
    a_line_of_the_focus_interrupts_whoever_has_it_and_nobody_else,
    a_line_that_the_machine_has_level_triggered_interrupts_until_its_device_is_served,
    a_vm_that_never_ends_its_interrupts_blocks_no_other,
    a_line_that_nobody_owns_interrupts_nobody,
    a_non_maskable_interrupt_is_told_and_survived_with_the_guests_tr_loaded,
    an_interrupt_comes_once_however_long_its_handler_takes,
];

/// A serial port of QEMU's, at a port that no device of the VMM has.
fn serial(port: u32, line: u32) -> [String; 4] {
    let device = format!("isa-serial,chardev=at{port},iobase={port:#x},irq={line}");
    let away = format!("null,id=at{port}");
    ["-chardev".into(), away, "-device".into(), device]
}

fn with_serial(boot: Boot, port: u32, line: u32) -> Boot {
    serial(port, line)
        .into_iter()
        .fold(boot.arg("--"), Boot::arg)
}

const PORT: u32 = 0x3e8;
const LINE: u32 = 5;

/// Lets the serial port interrupt as soon as it has room to send, which is at once.
fn enable_serial(a: &mut CodeAssembler, port: u32) -> Result<(), IcedError> {
    out(a, port + 4, 8)?;
    out(a, port + 1, 2)
}

/// Sleeps, and is interrupted, for ever.
fn wait(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut wait = a.create_label();
    a.set_label(&mut wait)?;
    a.sti()?;
    a.hlt()?;
    a.jmp(wait)
}

/// Served at each of its interrupts, the port interrupts again; after the third the VM ends.
fn serves_three(a: &mut CodeAssembler, port: u32, line: u32) -> Result<(), IcedError> {
    on_interrupt(a, line, |a| {
        takes_one_of_three(a, port)?;
        end_interrupt(a, line)?;
        out(a, port, u32::from(b'x'))?;
        a.iretd()
    })?;
    a.mov(edi, 3)
}

/// Reading why it interrupts satisfies the port; sending a byte makes it do so again.
fn takes_one_of_three(a: &mut CodeAssembler, port: u32) -> Result<(), IcedError> {
    let mut more = a.create_label();
    a.mov(dx, port + 2)?;
    a.in_(al, dx)?;
    a.dec(edi)?;
    a.jnz(more)?;
    power_off(a)?;
    a.set_label(&mut more)?;
    a.nop()
}

fn a_line_that_the_policy_gives_to_a_vm_interrupts_it_again_and_again() {
    let kernel = tiny_guest(|a| {
        serves_three(a, PORT, LINE)?;
        enable_serial(a, PORT)?;
        wait(a)
    });
    let vmm = "[irq]\n1 = \"vmm\"\n4 = \"vmm\"";
    let to_the_vm = format!("{vmm}\n5 = {{ vm = \"demo\", ports = \"0x3e8-0x3ef\" }}");
    let ports = "[[vm.io]]\nports = \"0x3e8-0x3ef\"\naction = \"pass\"";
    let to_the_focus = format!("{ports}\n{vmm}\n5 = \"focus\"");
    for (routes, pic) in [
        (&to_the_vm, "on"),
        (&to_the_vm, "off"),
        (&to_the_focus, "on"),
    ] {
        let boot = Boot::policy(&POLICY.replace("#REST", routes)).kernel(&kernel);
        let boot = with_serial(boot, PORT, LINE);
        boot.args(["-machine", &format!("pic={pic}")])
            .run()
            .ends_with(0);
    }
}

/// The machine's 8259s keep an edge while it is masked; its I/O APIC does not.
fn an_edge_that_comes_before_the_end_of_the_one_before_is_not_lost() {
    const LINE: u32 = 7;
    let kernel = tiny_guest(|a| {
        on_interrupt(a, LINE, |a| {
            takes_one_of_three(a, PORT)?;
            out(a, PORT, u32::from(b'x'))?;
            end_interrupt(a, LINE)?;
            a.iretd()
        })?;
        a.mov(edi, 3)?;
        enable_serial(a, PORT)?;
        wait(a)
    });
    let routes = "[irq]\n1 = \"vmm\"\n4 = \"vmm\"\n\
                  7 = { vm = \"demo\", ports = \"0x3e8-0x3ef\" }";
    for pic in ["pic=on", "pic=off"] {
        let boot = Boot::policy(&POLICY.replace("#REST", routes)).kernel(&kernel);
        let boot = with_serial(boot.within_seconds("60"), PORT, LINE);
        boot.args(["-machine", pic]).run().ends_with(0);
    }
}

/// The first VM has the focus until a key to the second shows that it has it.
fn a_line_of_the_focus_interrupts_whoever_has_it_and_nobody_else() {
    let first = tiny_guest(|a| {
        on_interrupt(a, LINE, |a| a.ud2())?;
        wait(a)
    });
    let second = tiny_guest(|a| {
        let mut no_key = a.create_label();
        serves_three(a, PORT, LINE)?;
        a.mov(dx, 0x3fd)?;
        a.set_label(&mut no_key)?;
        a.in_(al, dx)?;
        a.test(al, 1)?;
        a.jz(no_key)?;
        enable_serial(a, PORT)?;
        wait(a)
    });
    let folder = tempfile::tempdir().expect("a folder");
    let image = |name: &str, kernel: &[u8], rest: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, kernel).expect("a kernel");
        several_vms::vm(name, file.to_str().expect("a path"), rest)
    };
    let ports = "[[vm.io]]\nports = \"0x3e8-0x3ef\"\naction = \"pass\"";
    let vms = [
        image("first", &first, ""),
        image("second", &second, ports),
        "[irq]\n1 = \"vmm\"\n4 = \"vmm\"\n5 = \"focus\"\n".to_string(),
    ];
    let boot = script(
        several_vms::policy("5 ms", &vms).within_seconds("60"),
        &[
            ("", "second: "),
            ("\x1d2", "second has the keyboard"),
            ("x", "second: power-off"),
            ("\x1d1\x1ds\r", "first: turned-off"),
        ],
    );
    with_serial(boot, PORT, LINE).run().ends_with(0);
}

/// A port that nobody serves asks on. Line 11 of QEMU's PC is level-triggered, since its firmware
/// has it for PCI, and tells of that again each time; line 5 told of it when it began.
fn a_line_that_the_machine_has_level_triggered_interrupts_until_its_device_is_served() {
    for (line, level) in [(11, true), (LINE, false)] {
        let kernel = tiny_guest(|a| {
            let (mut spin, mut wrong) = (a.create_label(), a.create_label());
            on_interrupt(a, line, |a| {
                end_interrupt(a, line)?;
                a.inc(edi)?;
                if level {
                    let mut more = a.create_label();
                    a.cmp(edi, 100)?;
                    a.jne(more)?;
                    power_off(a)?;
                    a.set_label(&mut more)?;
                }
                a.iretd()
            })?;
            if level {
                // The guest's own controller may be told as well.
                out(a, 0x4d1, 1 << (line - 8))?;
            }
            a.xor(edi, edi)?;
            a.sti()?;
            enable_serial(a, PORT)?;
            // Long enough for another interrupt to come, were there one.
            a.mov(esi, 1_000_000)?;
            a.set_label(&mut spin)?;
            a.dec(esi)?;
            a.jnz(spin)?;
            a.cmp(edi, 1)?;
            a.jne(wrong)?;
            power_off(a)?;
            a.set_label(&mut wrong)?;
            complain(a)
        });
        let rest = format!(
            "{EXIT_PORT}[irq]\n1 = \"vmm\"\n4 = \"vmm\"\n\
             {line} = {{ vm = \"demo\", ports = \"0x3e8-0x3ef\" }}"
        );
        let boot = Boot::policy(&POLICY.replace("#REST", &rest)).kernel(&kernel);
        let outcome = with_serial(boot, PORT, line).run().ends_with(0);
        let taken = outcome.report["vms"][0]["exits"]
            .as_array()
            .and_then(|exits| exits.iter().find(|exit| exit["name"] == "intr"))
            .map_or(0, |exit| exit["count"].as_u64().unwrap_or(0));
        assert!(!level || taken >= 99, "{taken}: {:#?}", outcome.lines);
    }
}

/// The one that never ends its interrupt has the line before the other's: in the machine's own
/// controllers it would come first for ever.
fn a_vm_that_never_ends_its_interrupts_blocks_no_other() {
    const OTHER_PORT: u32 = 0x2e8;
    let good = tiny_guest(|a| {
        let mut no_key = a.create_label();
        serves_three(a, PORT, 11)?;
        // A key tells that the other one has been interrupted.
        a.mov(dx, 0x3fd)?;
        a.set_label(&mut no_key)?;
        a.in_(al, dx)?;
        a.test(al, 1)?;
        a.jz(no_key)?;
        enable_serial(a, PORT)?;
        wait(a)
    });
    let bad = tiny_guest(|a| {
        on_interrupt(a, 10, |a| {
            for byte in b"taken\n" {
                out(a, 0x3f8, (*byte).into())?;
            }
            a.iretd()
        })?;
        enable_serial(a, OTHER_PORT)?;
        wait(a)
    });
    let folder = tempfile::tempdir().expect("a folder");
    let image = |name: &str, kernel: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, kernel).expect("a kernel");
        several_vms::vm(name, file.to_str().expect("a path"), "")
    };
    let vms = [
        image("good", &good),
        image("bad", &bad),
        with_kernel("shell", "", ""),
        "[irq]\n1 = \"vmm\"\n4 = \"vmm\"\n\
         10 = { vm = \"bad\", ports = \"0x2e8-0x2ef\" }\n\
         11 = { vm = \"good\", ports = \"0x3e8-0x3ef\" }\n"
            .to_string(),
    ];
    let [a, b, c, d] = serial(PORT, 11);
    let [e, f, g, h] = serial(OTHER_PORT, 10);
    let emulator = ["--", &a, &b, &c, &d, &e, &f, &g, &h];
    let boot = several_vms::policy("5 ms", &vms).within_seconds("60");
    let boot = script(
        boot.args(["--expect", "bad| taken", "--expect", "tollgate> "]),
        &[
            ("x", "good: power-off"),
            ("\x1d3", "shell has the keyboard"),
            ("ticks\n", "shell| ~ ticks"),
            ("poweroff\n", "shell: power-off"),
            ("\x1d2\x1ds\r", "bad: turned-off"),
        ],
    );
    let outcome = boot.args(emulator).run().ends_with(0);
    assert_eq!(outcome.lines_of("bad"), ["taken"], "{:#?}", outcome.lines);
}

fn a_line_that_nobody_owns_interrupts_nobody() {
    let kernel = tiny_guest(|a| {
        let mut wait = a.create_label();
        on_interrupt(a, LINE, |a| a.ud2())?;
        enable_serial(a, PORT)?;
        // Long enough for an interrupt to come, were there one.
        a.mov(edi, 1_000_000)?;
        a.sti()?;
        a.set_label(&mut wait)?;
        a.dec(edi)?;
        a.jnz(wait)?;
        power_off(a)
    });
    let ports = "[[vm.io]]\nports = \"0x3e8-0x3ef\"\naction = \"pass\"";
    let boot = Boot::policy(&POLICY.replace("#REST", ports)).kernel(&kernel);
    with_serial(boot, PORT, LINE).run().ends_with(0);
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

/// Each of three handlers takes longer than it is until the VMM's timer expires, with counted
/// instructions, in which QEMU would deliver the interrupt again.
fn an_interrupt_comes_once_however_long_its_handler_takes() {
    const TIMER: u32 = 0;
    let kernel = tiny_guest(|a| {
        on_interrupt(a, TIMER, |a| {
            let (mut alone, mut spin, mut more) =
                (a.create_label(), a.create_label(), a.create_label());
            a.test(ebp, ebp)?;
            a.jz(alone)?;
            complain(a)?;
            a.set_label(&mut alone)?;
            a.inc(ebp)?;
            a.mov(ecx, 30_000_000)?;
            a.set_label(&mut spin)?;
            a.dec(ecx)?;
            a.jnz(spin)?;
            a.dec(ebp)?;
            end_interrupt(a, TIMER)?;
            a.dec(edi)?;
            a.jnz(more)?;
            power_off(a)?;
            a.set_label(&mut more)?;
            a.iretd()
        })?;
        a.xor(ebp, ebp)?;
        a.mov(edi, 3)?;
        wait(a)
    });
    for rest in [EXIT_PORT.into(), format!("npt = false\n{EXIT_PORT}")] {
        Boot::policy(&POLICY.replace("#REST", &rest))
            .kernel(&kernel)
            .arg("--icount")
            .run()
            .ends_with(0);
    }
}
