//! What the other instructions cost that a policy can stop a guest at, and exceptions: a few
//! instructions each, so that every gate has its row.

use super::{ALL_MASKED, EFER, PIC_MASK, ROUNDS, report};
use crate::kernel::cpu::{self, CR0_EM, CR0_TS};
use crate::kernel::exceptions::attempt;
use crate::kernel::gdt::{self, ABSENT, FIRST_TASK, SHORT_TASK};

/// The hypercall that answers with the version of the interface.
const VERSION_CALL: u32 = 1;

/// Times `$body`, with EAX set before the first round, and then ECX and EDX.
macro_rules! time {
    ($name:literal, $body:literal) => {
        time!($name, $body, eax = 0)
    };
    ($name:literal, $body:literal, eax = $eax:expr) => {
        time!($name, $body, eax = $eax, ecx = 0, edx = 0)
    };
    ($name:literal, $body:literal, eax = $eax:expr, ecx = $ecx:expr, edx = $edx:expr) => {
        report($name, || {
            loop_of!($body, eax = $eax, ecx = $ecx, edx = $edx)
        })
    };
}

/// Times an instruction that raises an exception, which the kernel takes and goes on.
macro_rules! time_trap {
    ($name:literal, $($attempt:tt)*) => {
        report($name, || {
            let started = cpu::tsc();
            for _ in 0..ROUNDS {
                attempt!($($attempt)*);
            }
            cpu::tsc().wrapping_sub(started)
        })
    };
}

/// Times each.
pub(super) fn run() {
    time!("PAUSE", "pause");
    time!("WBINVD", "wbinvd");
    time!("INVLPG", "invlpg [esp]");
    time!("PUSHF", "pushfd\npop eax");
    time!("PUSHF, POPF", "pushfd\npopfd");
    time!(
        "IRET",
        "pushfd\nmov eax, cs\npush eax\ncall 8f\njmp 9f\n8: iretd\n9:"
    );
    time!(
        "INSB from the PIC",
        "push 0\nmov edi, esp\ninsb\npop eax",
        eax = 0,
        ecx = 0,
        edx = PIC_MASK
    );
    time!(
        "OUTSB to the PIC",
        "push esi\npush eax\nmov esi, esp\noutsb\npop eax\npop esi",
        eax = ALL_MASKED,
        ecx = 0,
        edx = PIC_MASK
    );
    time!(
        "RDMSR, WRMSR of EFER",
        "rdmsr\nwrmsr",
        eax = 0,
        ecx = EFER,
        edx = 0
    );
    control_registers();
    descriptor_tables();
    may_be_absent();
    exceptions();
}

fn control_registers() {
    time!("MOV from CR0", "mov eax, cr0");
    time!("MOV to CR0", "mov cr0, eax", eax = cpu::cr0());
    time!("SMSW, LMSW", "smsw ax\nlmsw ax");
    time!("CLTS", "clts");
    time!("MOV from CR2", "mov eax, cr2");
    time!("MOV to CR2", "mov cr2, eax");
    time!("MOV from CR3", "mov eax, cr3");
    time!("MOV from CR4", "mov eax, cr4");
    time!("MOV from, to CR4", "mov eax, cr4\nmov cr4, eax");
    time!(
        "CR0.WP off and on",
        "xor eax, 0x10000\nmov cr0, eax\nxor eax, 0x10000\nmov cr0, eax",
        eax = cpu::cr0()
    );
    time!("MOV from DR0", "mov eax, dr0");
    time!("MOV to DR0", "mov dr0, eax");
    time!("MOV from, to DR6", "mov eax, dr6\nmov dr6, eax");
    time!("MOV from, to DR7", "mov eax, dr7\nmov dr7, eax");
}

fn descriptor_tables() {
    time!("SGDT", "sub esp, 8\nsgdt [esp]\nadd esp, 8");
    time!(
        "SGDT, LGDT",
        "sub esp, 8\nsgdt [esp]\nlgdt [esp]\nadd esp, 8"
    );
    time!("SIDT", "sub esp, 8\nsidt [esp]\nadd esp, 8");
    time!(
        "SIDT, LIDT",
        "sub esp, 8\nsidt [esp]\nlidt [esp]\nadd esp, 8"
    );
    time!("SLDT", "sldt ax");
    time!("LLDT of nothing", "lldt ax");
    time!("STR", "str ax");
    report("LTR", || {
        let started = cpu::tsc();
        for _ in 0..ROUNDS {
            gdt::mark_task_available();
            attempt!("ltr {:x}"; in(reg) FIRST_TASK);
        }
        cpu::tsc().wrapping_sub(started)
    });
}

/// What a CPU may lack, and then raises #UD for. On the bare machine that is VMMCALL.
fn may_be_absent() {
    time_trap!("VMMCALL", ".byte 0x0f, 0x01, 0xd9"; inout("eax") VERSION_CALL => _);
    time_trap!("RDPMC", "rdpmc"; out("eax") _, in("ecx") 0, out("edx") _);
    let watched = 0_u32;
    time_trap!("MONITOR", "monitor"; in("eax") &raw const watched, in("ecx") 0, in("edx") 0);
    time_trap!("VMRUN, #UD taken", ".byte 0x0f, 0x01, 0xd8"; in("eax") 0);
    time_trap!("RSM, #UD taken", "rsm");
}

/// The kernel's handler, some hundred instructions, is in the figures.
fn exceptions() {
    time_trap!("INT 80h, taken", "int 0x80");
    time_trap!("#BP, taken", "int3");
    time_trap!("#UD, taken", "ud2");
    time_trap!(
        "#DE, taken",
        "div ecx";
        inout("eax") 1 => _, inout("edx") 0 => _, in("ecx") 0
    );
    time_trap!("#GP, taken", "mov fs, ax"; in("eax") 0xfff8);
    time_trap!("#NP, taken", "mov fs, {:x}"; in(reg) ABSENT);
    time_trap!("#SS, taken", "mov ss, {:x}"; in(reg) ABSENT);
    time_trap!(
        "#TS, taken",
        ".byte 0xea", ".long 0", ".short {task}"; task = const SHORT_TASK
    );
    let bounds = [0_u32; 2];
    time_trap!("#BR, taken", "bound {0}, [{1}]"; in(reg) 1, in(reg) &raw const bounds);
    time_trap!(
        "#DB of a step, taken",
        "pushfd",
        "or dword ptr [esp], 0x100",
        "popfd",
        "nop",
        "nop"
    );
    time_trap!(
        "#NM, taken, TS set and cleared",
        "mov cr0, {0}", "fnop" => "clts"; in(reg) cpu::cr0() & !CR0_EM | CR0_TS
    );
}
