//! A guest that does each thing that a policy can stop it at, a known number of times.

use std::collections::BTreeMap;

use iced_x86::IcedError;
use iced_x86::code_asm::{
    AsmRegister32, CodeAssembler, CodeLabel, al, ax, byte_ptr, cr0, cr2, cr3, cr4, dr0, dr1, dr2,
    dr3, dr6, dr7, dword_ptr, dx, eax, ebx, ecx, edi, edx, esp, fs, ptr, ss, st0, st1, word_ptr,
};

use crate::tiny_guest::{out, tiny_guest};

type Written = Result<(), IcedError>;

/// Something that the guest does.
struct Deed {
    /// Writes the instructions. They may change every register but EDI, and may end in an
    /// exception, which leads on behind them.
    write: fn(&mut CodeAssembler) -> Written,
    /// What each time is counted as.
    exits: &'static [&'static str],
}

const fn deed(exits: &'static [&'static str], write: fn(&mut CodeAssembler) -> Written) -> Deed {
    Deed { write, exits }
}

/// Where the guest has its tables, and what is in its GDT.
const DIRECTORY: u32 = 0x5000;
const IDT: u32 = 0x2000;
const GDT: u32 = 0x3000;
const TASK: u32 = 0x4000;
const STACK: u32 = 0x9_0000;
const SCRATCH: u32 = 0x1000;
/// Room for what LGDT, LIDT, SGDT and SIDT take and give.
const GDT_POINTER: u32 = 0x1010;
const IDT_POINTER: u32 = 0x1020;
const CODE: u32 = 8;
const DATA: u32 = 0x10;
const ABSENT_DATA: u32 = 0x18;
const ABSENT_STACK: u32 = 0x20;
const TASK_SELECTOR: u32 = 0x28;
const SHORT_TASK: u32 = 0x30;
const BEYOND: u32 = 0x100;
/// Nothing is mapped there.
const UNMAPPED: u32 = 0x40_0000;
/// The local APIC's version.
const LOCAL_APIC: u32 = 0xfee0_0030;
const CR0_PE: u32 = 1 << 0;
const CR0_TS: u32 = 1 << 3;
const CR0_NE: u32 = 1 << 5;
const CR0_PG: u32 = 1 << 31;
const CR0: u32 = CR0_PG | CR0_NE | CR0_PE | 1 << 4;
const CR4_PSE: u32 = 1 << 4;

/// What the guest does beside the deeds, to begin with, once.
const BEGINNING: [&str; 10] = [
    "gdtr.write",
    "idtr.write",
    "cr4.write",
    "cr3.write",
    "cr0.write",
    "ioio",
    "ioio",
    "ioio",
    "ioio",
    "ioio",
];

/// With what the policy counts it as. Not here is what [`tools::run::unexercised`] knows a reason
/// for, and what the guest has no hand in: physical and virtual interrupts.
const DEEDS: &[Deed] = &[
    deed(&["cr0.read"], |a| a.mov(eax, cr0)),
    deed(&["cr2.read"], |a| a.mov(eax, cr2)),
    deed(&["cr3.read"], |a| a.mov(eax, cr3)),
    deed(&["cr4.read"], |a| a.mov(eax, cr4)),
    deed(&["cr0.write"], |a| {
        a.mov(eax, CR0)?;
        a.mov(cr0, eax)
    }),
    deed(&["cr2.write"], |a| a.mov(cr2, eax)),
    deed(&["cr3.write"], |a| {
        a.mov(eax, DIRECTORY)?;
        a.mov(cr3, eax)
    }),
    deed(&["cr4.write"], |a| {
        a.mov(eax, CR4_PSE)?;
        a.mov(cr4, eax)
    }),
    deed(&["cr0.read", "cr0.write", "cr0.write"], |a| {
        a.smsw(eax)?;
        a.lmsw(ax)?;
        a.clts()
    }),
    deed(&["dr0.write", "dr0.read"], |a| {
        a.mov(dr0, eax)?;
        a.mov(eax, dr0)
    }),
    deed(&["dr1.write", "dr1.read"], |a| {
        a.mov(dr1, eax)?;
        a.mov(eax, dr1)
    }),
    deed(&["dr2.write", "dr2.read"], |a| {
        a.mov(dr2, eax)?;
        a.mov(eax, dr2)
    }),
    deed(&["dr3.write", "dr3.read"], |a| {
        a.mov(dr3, eax)?;
        a.mov(eax, dr3)
    }),
    deed(&["dr6.read", "dr6.write"], |a| {
        a.mov(eax, dr6)?;
        a.mov(dr6, eax)
    }),
    deed(&["dr7.read", "dr7.write"], |a| {
        a.mov(eax, dr7)?;
        a.mov(dr7, eax)
    }),
    deed(&["gdtr.read"], |a| a.sgdt(ptr(SCRATCH))),
    deed(&["idtr.read"], |a| a.sidt(ptr(SCRATCH))),
    deed(&["ldtr.read"], |a| a.sldt(eax)),
    deed(&["tr.read"], |a| a.str(eax)),
    deed(&["gdtr.write"], |a| a.lgdt(ptr(GDT_POINTER))),
    deed(&["idtr.write"], |a| a.lidt(ptr(IDT_POINTER))),
    deed(&["ldtr.write"], |a| {
        a.xor(eax, eax)?;
        a.lldt(ax)
    }),
    deed(&["tr.write"], |a| {
        // A task that is not marked as running.
        a.mov(byte_ptr(GDT + TASK_SELECTOR + 5), 0x89)?;
        a.mov(eax, TASK_SELECTOR)?;
        a.ltr(ax)
    }),
    deed(&["rdtsc"], |a| a.rdtsc()),
    // QUIRK: QEMU 7.2 exits for RDPMC, and has none.
    deed(&["rdpmc", "exception.ud"], |a| {
        a.xor(ecx, ecx)?;
        a.rdpmc()
    }),
    deed(&["pushf", "popf"], |a| {
        a.pushfd()?;
        a.popfd()
    }),
    deed(&["cpuid"], |a| a.cpuid()),
    deed(&["iret"], |a| {
        let mut after = a.create_label();
        lead(a, eax, after)?;
        a.push(2)?;
        a.push(CODE as i32)?;
        a.push(eax)?;
        a.iretd()?;
        a.set_label(&mut after)?;
        a.nop()
    }),
    deed(&["swint"], |a| a.int(0x80)),
    // QUIRK: QEMU 7.2 takes INT3 and INTO for INTn.
    deed(&["swint"], |a| a.int3()),
    deed(&["pause"], |a| a.pause()),
    deed(&["hlt", "ioio", "ioio", "ioio", "ioio"], sleep),
    deed(&["invlpg"], |a| a.invlpg(ptr(UNMAPPED))),
    deed(&["ioio"], |a| {
        a.mov(dx, 0x21)?;
        a.in_(al, dx)
    }),
    deed(&["ioio"], |a| {
        a.mov(al, 0)?;
        a.out(0x80, al)
    }),
    deed(&["msr", "msr"], |a| {
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.wrmsr()
    }),
    deed(&["vmmcall"], |a| {
        a.mov(eax, 1)?;
        a.vmmcall()
    }),
    deed(&["wbinvd"], |a| a.wbinvd()),
    deed(&["monitor", "mwait"], |a| {
        a.mov(eax, SCRATCH)?;
        a.xor(ecx, ecx)?;
        a.xor(edx, edx)?;
        a.monitor()?;
        a.xor(eax, eax)?;
        a.mwait()
    }),
    deed(&["vmrun"], |a| a.db(&[0x0f, 0x01, 0xd8])),
    deed(&["vmload"], |a| a.db(&[0x0f, 0x01, 0xda])),
    deed(&["vmsave"], |a| a.db(&[0x0f, 0x01, 0xdb])),
    deed(&["stgi"], |a| a.db(&[0x0f, 0x01, 0xdc])),
    deed(&["clgi"], |a| a.db(&[0x0f, 0x01, 0xdd])),
    deed(&["skinit"], |a| a.db(&[0x0f, 0x01, 0xde])),
    deed(&["invlpga"], |a| a.db(&[0x0f, 0x01, 0xdf])),
    deed(&["rsm"], |a| a.rsm()),
    deed(&["exception.ud"], |a| a.ud2()),
    deed(&["exception.de"], |a| {
        a.xor(ecx, ecx)?;
        a.div(ecx)
    }),
    deed(&["exception.br"], |a| {
        a.mov(dword_ptr(SCRATCH), 0)?;
        a.mov(dword_ptr(SCRATCH + 4), 0)?;
        a.mov(eax, 1)?;
        a.bound(eax, ptr(SCRATCH))
    }),
    deed(&["cr0.write", "exception.nm", "cr0.write"], |a| {
        let mut after = a.create_label();
        a.mov(eax, CR0 | CR0_TS)?;
        a.mov(cr0, eax)?;
        lead(a, ebx, after)?;
        a.fnop()?;
        a.set_label(&mut after)?;
        a.clts()
    }),
    deed(&["exception.mf"], |a| {
        a.mov(word_ptr(SCRATCH), 0x037b)?;
        a.fninit()?;
        a.fldcw(word_ptr(SCRATCH))?;
        a.fld1()?;
        a.fldz()?;
        a.fdivp(st1, st0)?;
        a.wait()
    }),
    deed(&["exception.ts"], |a| {
        // JMP to a task that is too short.
        a.db(&[0xea, 0, 0, 0, 0, SHORT_TASK as u8, 0])
    }),
    deed(&["exception.np"], |a| {
        a.mov(eax, ABSENT_DATA)?;
        a.mov(fs, ax)
    }),
    deed(&["exception.ss"], |a| {
        a.mov(eax, ABSENT_STACK)?;
        a.mov(ss, ax)
    }),
    deed(&["exception.gp"], |a| {
        a.mov(eax, BEYOND)?;
        a.mov(fs, ax)
    }),
    deed(&["exception.pf"], |a| a.mov(eax, dword_ptr(UNMAPPED))),
    deed(&["pushf", "popf", "exception.db"], |a| {
        a.pushfd()?;
        a.or(dword_ptr(esp), 0x100)?;
        a.popfd()?;
        a.nop()?;
        a.nop()
    }),
    deed(&["npf"], |a| a.mov(eax, dword_ptr(LOCAL_APIC))),
];

/// Has the timer wake it from HLT, once.
fn sleep(a: &mut CodeAssembler) -> Written {
    // One pulse after some 50 us; an interrupt that is there before HLT ends it as well.
    out(a, 0x43, 0x30)?;
    out(a, 0x40, 60)?;
    out(a, 0x40, 0)?;
    let mut awake = a.create_label();
    lead(a, ebx, awake)?;
    a.sti()?;
    a.hlt()?;
    a.set_label(&mut awake)?;
    out(a, 0x20, 0x20)
}

/// Has a register point at a jump to `target`.
fn lead(a: &mut CodeAssembler, register: AsmRegister32, target: CodeLabel) -> Written {
    let mut over = a.create_label();
    // The call leaves the address of the jump on the stack.
    a.call(over)?;
    a.jmp(target)?;
    a.set_label(&mut over)?;
    a.pop(register)
}

/// How often the guest does this deed in a life, if it does all of them `times` over.
fn rounds(deed: usize, times: u64) -> u64 {
    (1 + deed as u64 % 5) * times
}

/// The counts of one life of the guest, without its end's.
pub fn counts(times: u64) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    let mut count = |exit: &'static str, more| *counts.entry(exit).or_default() += more;
    for (index, deed) in DEEDS.iter().enumerate() {
        for exit in deed.exits {
            count(exit, rounds(index, times));
        }
    }
    for exit in BEGINNING {
        count(exit, 1);
    }
    counts
}

/// A kernel that does everything `times` over, and then `end`.
pub fn kernel(times: u64, end: impl Fn(&mut CodeAssembler) -> Written) -> Vec<u8> {
    tiny_guest(|a| {
        begin(a)?;
        for (index, deed) in DEEDS.iter().enumerate() {
            let (mut again, mut after) = (a.create_label(), a.create_label());
            a.mov(edi, rounds(index, times) as u32)?;
            a.set_label(&mut again)?;
            lead(a, ebx, after)?;
            (deed.write)(a)?;
            a.set_label(&mut after)?;
            a.dec(edi)?;
            a.jnz(again)?;
        }
        end(a)
    })
}

/// Sets up the tables, paging, and line 0 of the interrupt controller. Whatever comes, exception or
/// interrupt, leads to where EBX points.
fn begin(a: &mut CodeAssembler) -> Written {
    const PRESENT_WRITABLE_LARGE: u32 = 0x83;
    let (mut flat, mut handler, mut gates) = (a.create_label(), a.create_label(), a.create_label());
    a.mov(esp, STACK)?;
    for (selector, low, high) in [
        (CODE, 0x0000_ffff, 0x00cf_9a00),
        (DATA, 0x0000_ffff, 0x00cf_9200),
        (ABSENT_DATA, 0x0000_ffff, 0x00cf_1200),
        (ABSENT_STACK, 0x0000_ffff, 0x00cf_1200),
        (TASK_SELECTOR, TASK << 16 | 0x67, 0x0000_8900),
        (SHORT_TASK, TASK << 16 | 0x10, 0x0000_8900),
    ] {
        a.mov(dword_ptr(GDT + selector), low)?;
        a.mov(dword_ptr(GDT + selector + 4), high)?;
    }
    for (pointer, base, limit) in [(GDT_POINTER, GDT, 0x37), (IDT_POINTER, IDT, 0x7ff)] {
        a.mov(word_ptr(pointer), limit)?;
        a.mov(dword_ptr(pointer + 2), base)?;
    }
    // Each gate: code segment, the handler's address in two halves, interrupt gate.
    lead(a, eax, handler)?;
    a.mov(edx, eax)?;
    a.and(eax, 0xffff)?;
    a.or(eax, CODE as i32 * 0x1_0000)?;
    a.and(edx, 0xffff_0000u32 as i32)?;
    a.or(edx, 0x8e00)?;
    a.mov(ecx, 256)?;
    a.set_label(&mut gates)?;
    a.mov(dword_ptr(IDT - 8 + ecx * 8), eax)?;
    a.mov(dword_ptr(IDT - 4 + ecx * 8), edx)?;
    a.dec(ecx)?;
    a.jnz(gates)?;
    a.lgdt(ptr(GDT_POINTER))?;
    a.lidt(ptr(IDT_POINTER))?;
    // The code segment is loaded as RET loads it.
    a.push(CODE as i32)?;
    lead(a, eax, flat)?;
    a.push(eax)?;
    a.retf()?;
    a.set_label(&mut handler)?;
    a.mov(esp, STACK)?;
    a.jmp(ebx)?;
    a.set_label(&mut flat)?;
    a.mov(eax, DATA)?;
    a.mov(ss, ax)?;
    // The first 4 MiB, and those of the local APIC, where they are.
    a.mov(dword_ptr(DIRECTORY), PRESENT_WRITABLE_LARGE)?;
    let of_apic = LOCAL_APIC >> 22;
    a.mov(
        dword_ptr(DIRECTORY + of_apic * 4),
        of_apic << 22 | PRESENT_WRITABLE_LARGE,
    )?;
    a.mov(eax, CR4_PSE)?;
    a.mov(cr4, eax)?;
    a.mov(eax, DIRECTORY)?;
    a.mov(cr3, eax)?;
    a.mov(eax, CR0)?;
    a.mov(cr0, eax)?;
    for (port, value) in CONTROLLER {
        out(a, port, value)?;
    }
    Ok(())
}

/// The master interrupt controller: vectors from 20h on, line 0 alone open.
const CONTROLLER: [(u32, u32); 5] = [
    (0x20, 0x11),
    (0x21, 0x20),
    (0x21, 4),
    (0x21, 1),
    (0x21, 0xfe),
];
