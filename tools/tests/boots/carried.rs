//! What a change of vCPU carries: two VMs, each busy with its own values in every register that it
//! has, lose none of them, and see none of the other's.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::trials;
use crate::several_vms::{policy, vm};
use crate::tiny_guest::{
    EXIT_PORT, complain, end_interrupt, on_interrupt, out, power_off, tiny_guest,
};

trials![
    registers_of_two_vms_are_kept_apart,
    registers_of_two_vms_are_kept_apart_while_they_sleep,
];

const PAT: u32 = 0x277;
const TSC_AUX: u32 = 0xc000_0103;
/// Of SYSENTER and SYSCALL, and the segments' bases of 64-bit mode.
const MSRS: [u32; 9] = [
    0x174,
    0x175,
    0x176,
    0xc000_0081,
    0xc000_0082,
    0xc000_0083,
    0xc000_0084,
    0xc000_0102,
    TSC_AUX,
];
/// How often a VM looks.
const LOOKS: u32 = 20;

/// What this kernel writes in the `number`th of its registers.
fn own(seed: u32, number: u32) -> u32 {
    seed + number * 0x0001_0101
}

/// The same for an MSR: SYSENTER_CS has 16 bits.
fn own_msr(seed: u32, number: u32) -> u32 {
    own(seed, number) & 0xffff
}

/// Writes all registers, each with another value.
fn put_all(a: &mut CodeAssembler, seed: u32) -> Result<(), IcedError> {
    const CR4_OSFXSR: u32 = 1 << 9;
    a.mov(eax, cr4)?;
    a.or(eax, CR4_OSFXSR)?;
    a.mov(cr4, eax)?;
    for (number, msr) in (0..).zip(MSRS) {
        a.mov(ecx, msr)?;
        a.mov(eax, own_msr(seed, number))?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
    }
    a.mov(ecx, PAT)?;
    a.mov(eax, pat(seed))?;
    a.mov(edx, 0x0007_0406)?;
    a.wrmsr()?;
    for (number, register) in (20..).zip([dr0, dr1, dr2, dr3]) {
        a.mov(eax, own(seed, number))?;
        a.mov(register, eax)?;
    }
    a.mov(eax, own(seed, 30))?;
    a.mov(cr2, eax)?;
    for (number, register) in (40..).zip([xmm0, xmm1, xmm2, xmm3, xmm4, xmm5, xmm6, xmm7]) {
        a.mov(eax, own(seed, number))?;
        a.movd(register, eax)?;
    }
    // Flush to zero in one of them, round down in the other: of SSE and of the x87.
    a.push(mxcsr(seed))?;
    a.ldmxcsr(dword_ptr(esp))?;
    a.push(control_word(seed))?;
    a.fldcw(word_ptr(esp))?;
    a.push(own(seed, 50))?;
    a.fild(dword_ptr(esp))?;
    a.add(esp, 12)
}

fn is_odd(seed: u32) -> bool {
    seed & 1 != 0
}

fn pat(seed: u32) -> u32 {
    if is_odd(seed) {
        0x0406_0007
    } else {
        0x0007_0406
    }
}

fn mxcsr(seed: u32) -> u32 {
    if is_odd(seed) { 0x9f80 } else { 0x1f80 }
}

fn control_word(seed: u32) -> u32 {
    if is_odd(seed) { 0x077f } else { 0x037f }
}

/// Goes to `lost` unless all is as [`put_all`] left it.
fn look(a: &mut CodeAssembler, seed: u32, lost: CodeLabel) -> Result<(), IcedError> {
    let same = |a: &mut CodeAssembler, value: u32| {
        a.cmp(eax, value)?;
        a.jne(lost)
    };
    for (number, msr) in (0..).zip(MSRS) {
        a.mov(ecx, msr)?;
        a.rdmsr()?;
        same(a, own_msr(seed, number))?;
    }
    a.mov(ecx, PAT)?;
    a.rdmsr()?;
    same(a, pat(seed))?;
    for (number, register) in (20..).zip([dr0, dr1, dr2, dr3]) {
        a.mov(eax, register)?;
        same(a, own(seed, number))?;
    }
    a.mov(eax, cr2)?;
    same(a, own(seed, 30))?;
    for (number, register) in (40..).zip([xmm0, xmm1, xmm2, xmm3, xmm4, xmm5, xmm6, xmm7]) {
        a.movd(eax, register)?;
        same(a, own(seed, number))?;
    }
    a.push(0)?;
    a.stmxcsr(dword_ptr(esp))?;
    a.pop(eax)?;
    same(a, mxcsr(seed))?;
    a.push(0)?;
    a.fnstcw(word_ptr(esp))?;
    a.pop(eax)?;
    same(a, control_word(seed))?;
    a.push(0)?;
    a.fist(dword_ptr(esp))?;
    a.pop(eax)?;
    same(a, own(seed, 50))
}

/// A kernel that looks at its registers again and again, and `pause`s in between.
fn keeper(
    seed: u32,
    prepare: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>,
    pause: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    tiny_guest(|a| {
        let (mut again, mut lost) = (a.create_label(), a.create_label());
        a.mov(esp, 0x8_0000)?;
        prepare(a)?;
        put_all(a, seed)?;
        a.mov(ebp, LOOKS)?;
        a.set_label(&mut again)?;
        pause(a)?;
        look(a, seed, lost)?;
        a.dec(ebp)?;
        a.jnz(again)?;
        power_off(a)?;
        a.set_label(&mut lost)?;
        complain(a)
    })
}

/// Boots two such kernels, whose turns are short.
fn both_keep_theirs(kernel: impl Fn(u32) -> Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let vms = [("odd", 0x2222_0001), ("even", 0x5555_0002)].map(|(name, seed)| {
        let file = folder.path().join(name);
        std::fs::write(&file, kernel(seed)).expect("a kernel");
        let rest = format!("cpu = \"host\"\n{EXIT_PORT}");
        vm(name, file.to_str().expect("a path"), &rest)
    });
    policy("1 ms", &vms)
        .within_seconds("60")
        .arg("--icount")
        .run()
        .ends_with(0)
        .shows("odd: power-off")
        .shows("even: power-off");
}

fn registers_of_two_vms_are_kept_apart() {
    const MANY: u32 = 1_000_000;
    both_keep_theirs(|seed| {
        keeper(
            seed,
            |a| a.nop(),
            |a| {
                let mut busy = a.create_label();
                a.mov(esi, MANY)?;
                a.set_label(&mut busy)?;
                a.dec(esi)?;
                a.jnz(busy)
            },
        )
    });
}

/// Between two turns the VMM has its own state in the CPU.
fn registers_of_two_vms_are_kept_apart_while_they_sleep() {
    const TIMER: u32 = 0;
    let ticks = |a: &mut CodeAssembler| {
        on_interrupt(a, TIMER, |a| {
            end_interrupt(a, TIMER)?;
            a.iretd()
        })?;
        // Channel 0, both bytes, mode 2; a thousand times a second.
        for (port, value) in [(0x43, 0x34), (0x40, 0xa9), (0x40, 0x04)] {
            out(a, port, value)?;
        }
        Ok(())
    };
    both_keep_theirs(|seed| {
        keeper(seed, ticks, |a| {
            a.sti()?;
            a.hlt()?;
            a.cli()
        })
    });
}
