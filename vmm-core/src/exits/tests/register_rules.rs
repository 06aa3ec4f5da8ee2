//! What the CPU refuses to have in CR0, CR3, CR4 and EFER, rule by rule with its place in the
//! manual.

use super::registers::{EFER_LMA, LONG, UD, at, is_refused};
use super::*;

const PE: u64 = 1 << 0;
const ET: u64 = 1 << 4;
const WP: u64 = 1 << 16;
const NW: u64 = 1 << 29;
const CD: u64 = 1 << 30;
const PG: u64 = 1 << 31;
const PAE: u64 = 1 << 5;
const LME: u64 = 1 << 8;
const NXE: u64 = 1 << 11;
const SVME: u64 = 1 << 12;
const LMSLE: u64 = 1 << 13;
const TCE: u64 = 1 << 15;

/// What a guest has when it writes.
#[derive(Clone, Copy)]
struct State {
    cr0: u64,
    cr4: u64,
    efer: u64,
    /// In 64-bit code.
    wide: bool,
}

const PROTECTED: State = State {
    cr0: PE | ET,
    cr4: 0,
    efer: 0,
    wide: false,
};
const LONG_ENABLED: State = State {
    cr4: PAE,
    efer: LME,
    ..PROTECTED
};
/// In compatibility mode. The code is where it would be without paging: there is none to read.
const LONG_ACTIVE: State = State {
    efer: LME | EFER_LMA,
    ..LONG_ENABLED
};
const WIDE: State = State {
    wide: true,
    ..LONG_ACTIVE
};

#[derive(Clone, Copy, Debug)]
enum Write {
    Cr0(u64),
    Cr3(u64),
    Cr4(u64),
    Efer(u64),
}

use Write::*;

/// The manual's section, the state, the write, and whether it is #GP(0).
const RULES: &[(&str, State, Write, bool)] = &[
    ("3.1.1, PG without PE", PROTECTED, Cr0(PG), true),
    ("3.1.1, PG with PE", PROTECTED, Cr0(PG | PE), false),
    ("3.1.1, bits 63:32", WIDE, Cr0(1 << 32 | PE), true),
    (
        "3.1.1, reserved bits below",
        PROTECTED,
        Cr0(PE | 1 << 6 | 1 << 17 | 1 << 28),
        false,
    ),
    ("3.1.1, ET is read-only", PROTECTED, Cr0(PE), false),
    ("15.5.1, NW without CD", PROTECTED, Cr0(PE | NW), true),
    ("15.5.1, NW with CD", PROTECTED, Cr0(PE | NW | CD), false),
    ("3.1.1, CD alone", PROTECTED, Cr0(PE | CD), false),
    (
        "14.6.2, PG under LME without PAE",
        State {
            cr4: 0,
            ..LONG_ENABLED
        },
        Cr0(PG | PE),
        true,
    ),
    (
        "14.6.2, PG under LME with PAE",
        LONG_ENABLED,
        Cr0(PG | PE),
        false,
    ),
    (
        "14.6.2, PG under LME with CS.L",
        State {
            wide: true,
            ..LONG_ENABLED
        },
        Cr0(PG | PE),
        true,
    ),
    ("14.7, PG cleared in 64-bit code", WIDE, Cr0(PE), true),
    (
        "14.7, PG cleared in compatibility mode",
        LONG_ACTIVE,
        Cr0(PE),
        false,
    ),
    ("3.1.1, WP without CET", PROTECTED, Cr0(PE | WP), false),
    (
        "3.1.2, CR3 beyond the physical addresses",
        WIDE,
        Cr3(1 << 52),
        true,
    ),
    (
        "3.1.2, CR3 within them",
        WIDE,
        Cr3((1 << 39) | 0xfff),
        false,
    ),
    (
        "14.6.2, PAE cleared in long mode",
        LONG_ACTIVE,
        Cr4(0),
        true,
    ),
    ("14.6.2, PAE cleared before it", LONG_ENABLED, Cr4(0), false),
    ("3.1.3, bits 63:32", WIDE, Cr4(1 << 32 | PAE), true),
    ("3.1.3, bits 31:24", PROTECTED, Cr4(1 << 24), true),
    ("3.1.3, bit 19", PROTECTED, Cr4(1 << 19), true),
    ("3.1.3, bits 15:13", PROTECTED, Cr4(1 << 13), true),
    (
        "3.1.3, CET where CPUID has none",
        PROTECTED,
        Cr4(1 << 23),
        true,
    ),
    (
        "3.1.3, PKE where CPUID has none",
        PROTECTED,
        Cr4(1 << 22),
        true,
    ),
    (
        "3.1.3, SMAP where CPUID has none",
        PROTECTED,
        Cr4(1 << 21),
        true,
    ),
    (
        "3.1.3, SMEP where CPUID has none",
        PROTECTED,
        Cr4(1 << 20),
        true,
    ),
    (
        "3.1.3, OSXSAVE where CPUID has none",
        PROTECTED,
        Cr4(1 << 18),
        true,
    ),
    (
        "3.1.3, PCIDE where CPUID has none",
        LONG_ACTIVE,
        Cr4(PAE | 1 << 17),
        true,
    ),
    (
        "3.1.3, FSGSBASE where CPUID has none",
        PROTECTED,
        Cr4(1 << 16),
        true,
    ),
    (
        "3.1.3, LA57 where CPUID has none",
        LONG_ACTIVE,
        Cr4(PAE | 1 << 12),
        true,
    ),
    (
        "3.1.3, UMIP where CPUID has none",
        PROTECTED,
        Cr4(1 << 11),
        true,
    ),
    (
        "3.1.3, PCE, which CPUID does not tell of",
        PROTECTED,
        Cr4(1 << 8),
        false,
    ),
    ("3.1.3, PGE", PROTECTED, Cr4(1 << 7), false),
    ("14.6.2, LME set", PROTECTED, Efer(LME), false),
    (
        "14.6.2, LME set while paging",
        State {
            cr0: PG | PE,
            ..PROTECTED
        },
        Efer(LME),
        true,
    ),
    (
        "14.6.2, LME cleared while paging",
        State {
            cr0: PG | PE,
            ..LONG_ACTIVE
        },
        Efer(EFER_LMA),
        true,
    ),
    ("3.1.7, LMA set by hand", PROTECTED, Efer(EFER_LMA), true),
    (
        "3.1.7, LMA cleared by hand",
        State {
            cr0: PG | PE,
            ..LONG_ACTIVE
        },
        Efer(LME),
        true,
    ),
    (
        "3.1.7, LMA as it is",
        State {
            cr0: PG | PE,
            ..LONG_ACTIVE
        },
        Efer(LME | EFER_LMA | NXE),
        false,
    ),
    (
        "3.1.7, SVME where CPUID has none",
        PROTECTED,
        Efer(SVME),
        true,
    ),
    (
        "3.1.7, LMSLE, which no model offers",
        PROTECTED,
        Efer(LMSLE),
        true,
    ),
    (
        "3.1.7, TCE where CPUID has none",
        PROTECTED,
        Efer(TCE),
        true,
    ),
    ("3.1.7, bit 9", PROTECTED, Efer(1 << 9), true),
    ("3.1.7, bit 16", PROTECTED, Efer(1 << 16), true),
    ("3.1.7, bit 19", PROTECTED, Efer(1 << 19), true),
    ("3.1.7, bits 63:22", PROTECTED, Efer(1 << 22), true),
    ("3.1.7, bits 7:1 read as zero", PROTECTED, Efer(0xfe), false),
    (
        "3.1.7, SCE, NXE, FFXSR",
        PROTECTED,
        Efer(1 | NXE | 1 << 14),
        false,
    ),
];

/// A guest in this state that has written.
fn written(state: State, write: Write) -> Instance {
    let (code, exit, value): (&[u8], _, _) = match write {
        Cr0(value) => (&[0x0f, 0x22, 0xc0], ExitCode::Cr0Write, value),
        Cr3(value) => (&[0x0f, 0x22, 0xd8], ExitCode::Cr3Write, value),
        Cr4(value) => (&[0x0f, 0x22, 0xe0], ExitCode::Cr4Write, value),
        Efer(value) => (&[0x0f, 0x30], ExitCode::Msr, value),
    };
    let mut instance = at(code, exit);
    let Instance { vcpu, vm } = &mut instance;
    let save = vcpu.save_mut();
    save.cr0 = state.cr0;
    save.cr4 = state.cr4;
    save.efer = state.efer | SVME;
    save.rax = value;
    if state.wide {
        save.cs.attributes = LONG;
    }
    if let Efer(value) = write {
        save.rax = value & 0xffff_ffff;
        vcpu.gprs.rdx = value >> 32;
        vcpu.gprs.rcx = 0xc000_0080;
        vcpu.control_mut().exit_info1 = 1;
        msr::emulate(vcpu, vm);
    } else {
        cr::emulate(vcpu, vm);
    }
    instance
}

#[test]
fn each_rule_over_control_registers_and_efer_is_kept() {
    for (rule, state, write, refused) in RULES {
        let instance = written(*state, *write);
        assert_eq!(is_refused(&instance), *refused, "{rule}: {write:x?}");
        let save = instance.vcpu.save();
        let found = [save.cr0, save.cr4, save.efer & !SVME];
        if *refused {
            assert_eq!(found, [state.cr0, state.cr4, state.efer], "{rule}");
        }
    }
}

/// What the guest reads back after a write that takes part of what it was given.
#[test]
fn what_is_ignored_reads_as_it_was() {
    let Instance { vcpu, .. } = written(PROTECTED, Cr0(PE | 1 << 6 | 1 << 17 | 1 << 28));
    assert_eq!(vcpu.save().cr0, PE | ET);
    let Instance { vcpu, .. } = written(PROTECTED, Efer(0xff));
    assert_eq!(vcpu.save().efer & !SVME, 1);
}

/// APM 3.1.3 and 3.1.4: CR1, CR5 to CR7, CR9 to CR15.
#[test]
fn the_registers_that_are_reserved_are_ud() {
    for exit in [
        ExitCode::Cr1Write,
        ExitCode::Cr5Write,
        ExitCode::Cr6Read,
        ExitCode::Cr7Write,
        ExitCode::Cr9Write,
        ExitCode::Cr15Read,
    ] {
        let Instance { mut vcpu, mut vm } = at(&[0x0f, 0x22, 0xc8], exit);
        cr::emulate(&mut vcpu, &mut vm);
        assert_eq!(vcpu.control().event_injection, UD, "{exit:?}");
    }
}
