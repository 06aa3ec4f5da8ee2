//! The decoder against iced-x86: what it accepts, iced accepts alike, and what iced knows of
//! its instructions, it accepts.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction as Iced, Mnemonic, OpKind, Register};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const IP: u64 = 0x7000;
const SIZES: [(CodeSize, u32); 3] = [
    (CodeSize::Bits16, 16),
    (CodeSize::Bits32, 32),
    (CodeSize::Bits64, 64),
];

/// What a GPR holds in these tests: no two alike, and the upper bits in use.
fn gpr(number: u8) -> u64 {
    0x9234_5678_9abc_def1_u64.rotate_left(u32::from(number) * 5)
}

fn iced_gpr(register: Register) -> u64 {
    let full = gpr(register.full_register().number() as u8);
    match register.size() {
        2 => full & 0xffff,
        4 => full & 0xffff_ffff,
        _ => full,
    }
}

fn second_opinion(bytes: &[u8], bits: u32) -> Iced {
    Decoder::with_ip(bits, bytes, IP, DecoderOptions::AMD).decode()
}

/// The mnemonic that iced has for an operation.
fn mnemonic(operation: Operation) -> Mnemonic {
    match operation {
        Operation::MovFromCr { .. }
        | Operation::MovToCr { .. }
        | Operation::MovFromDr { .. }
        | Operation::MovToDr { .. } => Mnemonic::Mov,
        Operation::Clts => Mnemonic::Clts,
        Operation::Lmsw(_) => Mnemonic::Lmsw,
        Operation::Smsw(_) => Mnemonic::Smsw,
        Operation::Int(_) => Mnemonic::Int,
        Operation::Int3 => Mnemonic::Int3,
        Operation::Into => Mnemonic::Into,
        Operation::Icebp => Mnemonic::Int1,
        Operation::CallFar => Mnemonic::Call,
        Operation::JmpFar => Mnemonic::Jmp,
        Operation::Sgdt(_) => Mnemonic::Sgdt,
        Operation::Sidt(_) => Mnemonic::Sidt,
        Operation::Lgdt(_) => Mnemonic::Lgdt,
        Operation::Lidt(_) => Mnemonic::Lidt,
        Operation::Sldt(_) => Mnemonic::Sldt,
        Operation::Str(_) => Mnemonic::Str,
        Operation::Lldt(_) => Mnemonic::Lldt,
        Operation::Ltr(_) => Mnemonic::Ltr,
        Operation::Invlpg(_) => Mnemonic::Invlpg,
        Operation::In(_) => Mnemonic::In,
        Operation::Out(_) => Mnemonic::Out,
        Operation::Hlt => Mnemonic::Hlt,
        Operation::Pause => Mnemonic::Pause,
        Operation::Cpuid => Mnemonic::Cpuid,
        Operation::Rdtsc => Mnemonic::Rdtsc,
        Operation::Rdtscp => Mnemonic::Rdtscp,
        Operation::Rdpmc => Mnemonic::Rdpmc,
        Operation::Rdmsr => Mnemonic::Rdmsr,
        Operation::Wrmsr => Mnemonic::Wrmsr,
        Operation::Invd => Mnemonic::Invd,
        Operation::Wbinvd => Mnemonic::Wbinvd,
        Operation::Monitor => Mnemonic::Monitor,
        Operation::Mwait => Mnemonic::Mwait,
        Operation::Vmmcall => Mnemonic::Vmmcall,
        // These have a mnemonic for each size.
        Operation::Pushf | Operation::Popf | Operation::Iret | Operation::Ins | Operation::Outs => {
            Mnemonic::INVALID
        }
    }
}

/// Whether iced's instruction is one that the decoder is to know.
fn is_ours(iced: &Iced) -> bool {
    match iced.mnemonic() {
        Mnemonic::Mov => matches!(
            iced.code(),
            Code::Mov_r32_cr
                | Code::Mov_r64_cr
                | Code::Mov_cr_r32
                | Code::Mov_cr_r64
                | Code::Mov_r32_dr
                | Code::Mov_r64_dr
                | Code::Mov_dr_r32
                | Code::Mov_dr_r64
        ),
        Mnemonic::Call | Mnemonic::Jmp => {
            iced.is_call_far()
                || iced.is_call_far_indirect()
                || iced.is_jmp_far()
                || iced.is_jmp_far_indirect()
        }
        Mnemonic::Clts
        | Mnemonic::Lmsw
        | Mnemonic::Smsw
        | Mnemonic::Int
        | Mnemonic::Int3
        | Mnemonic::Into
        | Mnemonic::Int1
        | Mnemonic::Pushf
        | Mnemonic::Pushfd
        | Mnemonic::Pushfq
        | Mnemonic::Popf
        | Mnemonic::Popfd
        | Mnemonic::Popfq
        | Mnemonic::Iret
        | Mnemonic::Iretd
        | Mnemonic::Iretq
        | Mnemonic::Sgdt
        | Mnemonic::Sidt
        | Mnemonic::Lgdt
        | Mnemonic::Lidt
        | Mnemonic::Sldt
        | Mnemonic::Str
        | Mnemonic::Lldt
        | Mnemonic::Ltr
        | Mnemonic::Invlpg
        | Mnemonic::In
        | Mnemonic::Out
        | Mnemonic::Insb
        | Mnemonic::Insw
        | Mnemonic::Insd
        | Mnemonic::Outsb
        | Mnemonic::Outsw
        | Mnemonic::Outsd
        | Mnemonic::Hlt
        | Mnemonic::Pause
        | Mnemonic::Cpuid
        | Mnemonic::Rdtsc
        | Mnemonic::Rdtscp
        | Mnemonic::Rdpmc
        | Mnemonic::Rdmsr
        | Mnemonic::Wrmsr
        | Mnemonic::Invd
        | Mnemonic::Wbinvd
        | Mnemonic::Monitor
        | Mnemonic::Mwait
        | Mnemonic::Vmmcall => true,
        _ => false,
    }
}

fn same_registers(iced: &Iced, to: u8, to_base: Register, from: u8, from_base: Register) {
    let full = |op| iced.op_register(op).full_register();
    assert_eq!(full(0), to_base + u32::from(to));
    assert_eq!(full(1), from_base + u32::from(from));
}

fn same_address(iced: &Iced, address: Address) {
    let theirs = iced.virtual_address(0, 0, |register, _, _| {
        Some(if register.is_segment_register() {
            0
        } else {
            iced_gpr(register)
        })
    });
    assert_eq!(Some(address.offset(gpr, iced.next_ip())), theirs);
    same_segment(iced, address.segment);
}

/// iced names a segment that 64-bit code ignores; its base is 0 whichever it is.
fn same_segment(iced: &Iced, segment: Segment) {
    let has_base = |register| matches!(register, Register::FS | Register::GS);
    let ours = Register::ES + segment as u32;
    let is_flat = iced.code_size() == iced_x86::CodeSize::Code64
        && !has_base(ours)
        && !has_base(iced.memory_segment());
    assert!(is_flat || ours == iced.memory_segment(), "{segment:?}");
}

fn same_place(iced: &Iced, place: Place) {
    match place {
        Place::Gpr(number) => assert_eq!(
            iced.op_register(0).full_register(),
            Register::RAX + u32::from(number)
        ),
        Place::Memory(address) => same_address(iced, address),
    }
}

fn same_operands(iced: &Iced, operation: Operation) {
    match operation {
        Operation::MovFromCr { cr, gpr } => {
            same_registers(iced, gpr, Register::RAX, cr, Register::CR0);
        }
        Operation::MovToCr { cr, gpr } => {
            same_registers(iced, cr, Register::CR0, gpr, Register::RAX);
        }
        Operation::MovFromDr { dr, gpr } => {
            same_registers(iced, gpr, Register::RAX, dr, Register::DR0);
        }
        Operation::MovToDr { dr, gpr } => {
            same_registers(iced, dr, Register::DR0, gpr, Register::RAX);
        }
        Operation::Lmsw(place)
        | Operation::Smsw(place)
        | Operation::Sldt(place)
        | Operation::Str(place)
        | Operation::Lldt(place)
        | Operation::Ltr(place) => same_place(iced, place),
        Operation::Sgdt(address)
        | Operation::Sidt(address)
        | Operation::Lgdt(address)
        | Operation::Lidt(address)
        | Operation::Invlpg(address) => same_address(iced, address),
        Operation::Int(vector) => assert_eq!(iced.immediate8(), vector),
        Operation::In(port) => same_port(iced, 1, port),
        Operation::Out(port) => same_port(iced, 0, port),
        _ => {}
    }
}

fn same_port(iced: &Iced, op: u32, port: Port) {
    match port {
        Port::Immediate(port) => assert_eq!(iced.immediate8(), port),
        Port::Dx => assert_eq!(iced.op_register(op), Register::DX),
    }
}

/// The law, for these bytes in all three sizes of code.
fn agree(bytes: &[u8]) {
    for (size, bits) in SIZES {
        let iced = second_opinion(bytes, bits);
        match decode(bytes, size) {
            Some(ours) => {
                assert!(!iced.is_invalid(), "{bits}: {bytes:02x?} is {ours:?}");
                assert_eq!(
                    iced.len(),
                    usize::from(ours.length),
                    "{bits}: {bytes:02x?} is {ours:?}"
                );
                assert!(is_ours(&iced), "{bits}: {bytes:02x?} is {iced:?}");
                let name = mnemonic(ours.operation);
                assert!(
                    name == Mnemonic::INVALID || name == iced.mnemonic(),
                    "{bits}: {bytes:02x?} is {iced:?}"
                );
                same_operands(&iced, ours.operation);
                if let Operation::Smsw(Place::Gpr(_)) = ours.operation {
                    let bytes = ours.prefixes.operand_bytes(size);
                    assert_eq!(usize::from(bytes), iced.op_register(0).size());
                }
                if matches!(ours.operation, Operation::Outs) {
                    same_segment(&iced, ours.prefixes.segment.unwrap_or(Segment::Ds));
                    let kind = match ours.prefixes.address_bytes(size) {
                        2 => OpKind::MemorySegSI,
                        4 => OpKind::MemorySegESI,
                        _ => OpKind::MemorySegRSI,
                    };
                    assert_eq!(iced.op1_kind(), kind);
                }
            }
            None => {
                let is_doubtful = bits == 64 && iced.mnemonic() == Mnemonic::Pause;
                assert!(
                    is_doubtful || !is_ours(&iced),
                    "{bits}: {bytes:02x?} is {iced:?}"
                );
            }
        }
    }
}

/// Prefixes, an opcode that the decoder knows or nearly knows, and anything behind it.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let prefix = select(vec![
        0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x41, 0x42, 0x44,
        0x48, 0x4f,
    ]);
    let one = select(vec![
        0x6c_u8, 0x6d, 0x6e, 0x6f, 0x90, 0x9a, 0x9c, 0x9d, 0xcc, 0xcd, 0xce, 0xcf, 0xe4, 0xe5,
        0xe6, 0xe7, 0xea, 0xec, 0xed, 0xee, 0xef, 0xf1, 0xf4, 0xff,
    ])
    .prop_map(|byte| vec![byte]);
    let two = select(vec![
        0x00_u8, 0x01, 0x06, 0x08, 0x09, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x32, 0x33, 0xa2,
    ])
    .prop_map(|byte| vec![0x0f, byte]);
    (
        vec(prefix, 0..4),
        prop_oneof![one, two],
        vec(any::<u8>(), 0..10),
    )
        .prop_map(|(prefixes, opcode, rest)| [prefixes, opcode, rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn iced_agrees_on_what_is_likely(bytes in likely()) {
        agree(&bytes);
    }

    #[test]
    fn iced_agrees_on_any_bytes(bytes in vec(any::<u8>(), 0..18)) {
        agree(&bytes);
    }
}

/// Gives what a compiler has written, from many a byte of it on: this very program.
pub(super) fn each_place_of_compiled_code(visit: impl Fn(&[u8])) {
    let file = std::env::current_exe().and_then(std::fs::read).unwrap();
    let program = xmas_elf::ElfFile::new(&file).unwrap();
    let text = program.find_section_by_name(".text").unwrap();
    let code = text.raw_data(&program);
    let step = (code.len() / 100_000).max(1);
    for bytes in code.windows(18).step_by(step) {
        visit(bytes);
    }
}

#[test]
fn iced_agrees_on_compiled_code() {
    each_place_of_compiled_code(agree);
}

/// Every ModRM byte of the two groups that have memory operands, with each SIB byte.
#[test]
fn iced_agrees_on_every_modrm_and_sib() {
    for opcode in 0x00..=0x01 {
        for modrm in 0..=0xff {
            for sib in 0..=0xff {
                agree(&[0x0f, opcode, modrm, sib, 0x81, 0x92, 0xa3, 0xb4]);
                agree(&[0x67, 0x0f, opcode, modrm, sib, 0x81, 0x92, 0xa3, 0xb4]);
                agree(&[0x4f, 0x0f, opcode, modrm, sib, 0x81, 0x92, 0xa3, 0xb4]);
            }
        }
    }
}

/// Every first and second opcode byte behind each prefix that may change its meaning.
#[test]
fn iced_agrees_on_every_opcode_behind_every_prefix() {
    for prefix in [0x2e, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x41, 0x48] {
        for opcode in 0..=0xff {
            agree(&[prefix, opcode, 0xc1, 1, 2, 3, 4, 5, 6, 7]);
            agree(&[prefix, 0x0f, opcode, 0xc1, 1, 2, 3, 4, 5, 6]);
            agree(&[prefix, 0x0f, 0x01, opcode, 1, 2, 3, 4, 5, 6]);
            agree(&[0x66, prefix, 0x0f, 0x01, opcode, 1, 2, 3, 4, 5]);
        }
    }
}

#[test]
fn iced_agrees_on_every_move_of_a_control_or_debug_register() {
    for opcode in 0x20..=0x23 {
        for modrm in 0..=0xff {
            agree(&[0x0f, opcode, modrm]);
            agree(&[0xf0, 0x0f, opcode, modrm]);
            agree(&[0x44, 0x0f, opcode, modrm]);
            agree(&[0x49, 0x0f, opcode, modrm]);
        }
    }
}

#[test]
fn an_instruction_longer_than_15_bytes_is_refused() {
    let mut bytes = [0x2e; 16];
    bytes[14] = 0xf4;
    assert_eq!(
        decode(&bytes, CodeSize::Bits32).map(|hlt| hlt.length),
        Some(15)
    );
    bytes[13..].copy_from_slice(&[0x2e, 0x2e, 0xf4]);
    assert_eq!(decode(&bytes, CodeSize::Bits32), None);
}

#[test]
fn pause_is_f3_90_without_rex_b() {
    for (size, _) in SIZES {
        let pause = decode(&[0xf3, 0x90], size);
        assert_eq!(pause.map(|pause| pause.operation), Some(Operation::Pause));
        assert_eq!(decode(&[0x90], size), None);
    }
    assert_eq!(decode(&[0xf3, 0x41, 0x90], CodeSize::Bits64), None);
}

#[test]
fn an_instruction_that_is_cut_off_is_refused() {
    let whole = [0x67, 0x0f, 0x01, 0xa4, 0x8b, 1, 2, 3, 4];
    assert!(decode(&whole, CodeSize::Bits64).is_some());
    for end in 0..whole.len() {
        assert_eq!(decode(&whole[..end], CodeSize::Bits64), None);
    }
}
