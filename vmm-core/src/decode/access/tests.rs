//! The instructions that reach memory against iced-x86: what is accepted, iced reads alike, and
//! what iced knows of them is accepted.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register as IcedRegister};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::decode::tests::each_place_of_compiled_code;

const SIZES: [(CodeSize, u32); 3] = [
    (CodeSize::Bits16, 16),
    (CodeSize::Bits32, 32),
    (CodeSize::Bits64, 64),
];

fn store(register: u8) -> Action {
    Action::Store(Source::Register(Register {
        number: register,
        high: false,
    }))
}

/// How kernels write and read a register of a device, in each code size.
#[test]
fn moves_are_known_in_every_code_size() {
    let eax = Register {
        number: 0,
        high: false,
    };
    let (b16, b32, b64) = (CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64);
    let table: [(&[u8], CodeSize, u8, Action); 9] = [
        // mov [fee000b0h], esi
        (&[0x89, 0x35, 0xb0, 0, 0xe0, 0xfe], b32, 4, store(6)),
        // mov [edi - a01f40h], r9d
        (&[0x44, 0x89, 0x8f, 0, 0xe0, 0x5f, 0xff], b64, 4, store(9)),
        // mov eax, [bx]
        (&[0x66, 0x8b, 0x07], b16, 4, load(eax, 4)),
        // mov eax, [fee00020h], by its own opcode
        (&[0xa1, 0x20, 0, 0xe0, 0xfe], b32, 4, load(eax, 4)),
        (
            &[0xa1, 0x20, 0, 0xe0, 0xfe, 0, 0, 0, 0],
            b64,
            4,
            load(eax, 4),
        ),
        // mov dword [rax], 1ffh
        (
            &[0xc7, 0x00, 0xff, 1, 0, 0],
            b64,
            4,
            Action::Store(Source::Immediate(0x1ff)),
        ),
        // movzx ecx, byte [rdx]
        (
            &[0x0f, 0xb6, 0x0a],
            b64,
            1,
            Action::Load {
                to: Register {
                    number: 1,
                    high: false,
                },
                bytes: 4,
                signed: false,
            },
        ),
        // mov [eax], ah
        (
            &[0x88, 0x20],
            b32,
            1,
            Action::Store(Source::Register(Register {
                number: 0,
                high: true,
            })),
        ),
        // or dword [rax], 10000h
        (
            &[0x81, 0x08, 0, 0, 1, 0],
            b64,
            4,
            Action::Combine {
                by: Combination::Or,
                with: Source::Immediate(0x10000),
                to: Destination::Memory,
            },
        ),
    ];
    for (code, size, bytes, action) in table {
        let length = code.len() as u8;
        let expected = Access {
            length,
            bytes,
            action,
        };
        assert_eq!(access(code, size), Some(expected), "{code:02x?}");
        assert_eq!(access(&code[..code.len() - 1], size), None, "{code:02x?}");
    }
}

#[test]
fn what_has_no_operand_in_memory_or_two_is_none_of_these() {
    for code in [
        &[0x89, 0xc0][..],
        &[0xa4],
        &[0xab],
        &[0xff, 0x30],
        &[0xf0, 0x89, 0x00],
        &[0xf3, 0xa5],
        &[0x0f, 0xb6, 0xc0],
    ] {
        assert_eq!(access(code, CodeSize::Bits64), None, "{code:02x?}");
    }
}

fn mnemonic(by: Combination) -> Mnemonic {
    match by {
        Combination::Add => Mnemonic::Add,
        Combination::Or => Mnemonic::Or,
        Combination::Adc => Mnemonic::Adc,
        Combination::Sbb => Mnemonic::Sbb,
        Combination::And => Mnemonic::And,
        Combination::Sub => Mnemonic::Sub,
        Combination::Xor => Mnemonic::Xor,
        Combination::Cmp => Mnemonic::Cmp,
        Combination::Test => Mnemonic::Test,
    }
}

/// Whether iced's instruction is one that the decoder is to know: a MOV or its kin between memory
/// and a GPR or a number. A few have second opcodes, which nobody writes.
fn is_ours(iced: &Instruction) -> bool {
    let is_known = matches!(
        iced.mnemonic(),
        Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movsx
            | Mnemonic::Xchg
            | Mnemonic::Add
            | Mnemonic::Or
            | Mnemonic::Adc
            | Mnemonic::Sbb
            | Mnemonic::And
            | Mnemonic::Sub
            | Mnemonic::Xor
            | Mnemonic::Cmp
            | Mnemonic::Test
    );
    let code = format!("{:?}", iced.code());
    let is_alias = ["_82", "_F6r1", "_F7r1"]
        .iter()
        .any(|end| code.ends_with(end));
    let has_repeat = iced.has_rep_prefix() || iced.has_repne_prefix();
    let is_segment = (0..iced.op_count()).any(|op| iced.op_register(op).is_segment_register());
    let in_memory = (0..iced.op_count()).filter(|op| iced.op_kind(*op) == OpKind::Memory);
    is_known && !is_alias && !has_repeat && !is_segment && in_memory.count() == 1
}

fn same_register(iced: &Instruction, op: u32, ours: Register, bytes: u8) {
    let theirs = iced.op_register(op);
    let high = matches!(
        theirs,
        IcedRegister::AH | IcedRegister::CH | IcedRegister::DH | IcedRegister::BH
    );
    let expected = Register {
        number: theirs.full_register().number() as u8,
        high,
    };
    assert_eq!(ours, expected, "{iced:?}");
    assert_eq!(theirs.size(), usize::from(bytes), "{iced:?}");
}

fn same_source(iced: &Instruction, op: u32, ours: Source, bytes: u8) {
    match ours {
        Source::Register(register) => same_register(iced, op, register, bytes),
        Source::Immediate(number) => {
            let mask = u64::MAX >> (64 - 8 * u32::from(bytes));
            assert_eq!(number & mask, iced.immediate(op) & mask, "{iced:?}");
        }
    }
}

/// What becomes of the operand, as iced has it: memory is the first operand where it is written to.
fn same_action(iced: &Instruction, ours: Access) {
    let bytes = ours.bytes;
    assert_eq!(iced.memory_size().size(), usize::from(bytes), "{iced:?}");
    let (names, memory): (&[Mnemonic], u32) = match ours.action {
        Action::Load { signed: true, .. } => (&[Mnemonic::Movsx], 1),
        Action::Load { .. } => (&[Mnemonic::Mov, Mnemonic::Movzx], 1),
        Action::Store(_) => (&[Mnemonic::Mov], 0),
        Action::Exchange(_) => (&[Mnemonic::Xchg], 0),
        Action::Combine { by, to, .. } => {
            let is_second = matches!(
                to,
                Destination::Register
                    | Destination::Flags {
                        memory_first: false
                    }
            );
            (&[mnemonic(by)], u32::from(is_second))
        }
    };
    assert!(names.contains(&iced.mnemonic()), "{ours:?} is {iced:?}");
    assert_eq!(iced.op_kind(memory), OpKind::Memory, "{iced:?}");
    let other = 1 - memory;
    match ours.action {
        Action::Load { to, bytes, .. } => same_register(iced, other, to, bytes),
        Action::Exchange(register) => same_register(iced, other, register, bytes),
        Action::Store(source) | Action::Combine { with: source, .. } => {
            same_source(iced, other, source, bytes);
        }
    }
}

/// The law, for these bytes in all three sizes of code.
fn agree(bytes: &[u8]) {
    for (size, bits) in SIZES {
        let iced = Decoder::with_ip(bits, bytes, 0, DecoderOptions::AMD).decode();
        match access(bytes, size) {
            Some(ours) => {
                let length = usize::from(ours.length);
                assert_eq!(iced.len(), length, "{bits}: {bytes:02x?} is {ours:?}");
                assert!(is_ours(&iced), "{bits}: {bytes:02x?} is {iced:?}");
                same_action(&iced, ours);
            }
            None => assert!(!is_ours(&iced), "{bits}: {bytes:02x?} is {iced:?}"),
        }
    }
}

/// The first bytes of the opcodes that are known.
fn opcodes() -> Vec<u8> {
    let arithmetic = (0..=0x3f).filter(|opcode| opcode & 7 < 4);
    let others = [0x80, 0x81, 0x83, 0xc6, 0xc7, 0xf6, 0xf7];
    arithmetic
        .chain(0x84..=0x8b)
        .chain(0xa0..=0xa3)
        .chain(others)
        .collect()
}

/// Prefixes, an opcode that is known or nearly so, and anything behind it.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let prefix = select(vec![
        0x26, 0x2e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f,
    ]);
    let one = select(opcodes()).prop_map(|byte| vec![byte]);
    let two = select(vec![0xb6_u8, 0xb7, 0xbe, 0xbf, 0xb0, 0xc0]).prop_map(|byte| vec![0x0f, byte]);
    let opcode = prop_oneof![4 => one, 1 => two];
    (vec(prefix, 0..4), opcode, vec(any::<u8>(), 0..14))
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

#[test]
fn iced_agrees_on_compiled_code() {
    each_place_of_compiled_code(agree);
}

/// Every ModRM byte of each opcode, and every SIB byte of one.
#[test]
fn iced_agrees_on_every_modrm_and_sib() {
    for modrm in 0..=0xff {
        for opcode in opcodes() {
            for prefix in [0x26, 0x66, 0x67, 0x44] {
                agree(&[
                    prefix, opcode, modrm, 0x24, 0x81, 0x92, 0xa3, 0xb4, 5, 6, 7, 8,
                ]);
            }
        }
        for sib in 0..=0xff {
            agree(&[0x81, modrm, sib, 0x81, 0x92, 0xa3, 0xb4, 5, 6, 7, 8]);
            agree(&[0x4f, 0x0f, 0xb6, modrm, sib, 0x81, 0x92, 0xa3, 0xb4]);
        }
    }
}

/// Every first and second opcode byte behind each prefix that may change its meaning.
#[test]
fn iced_agrees_on_every_opcode_behind_every_prefix() {
    for prefix in [0x2e, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x41, 0x48] {
        for opcode in 0..=0xff {
            for modrm in [0x00, 0x08, 0x45, 0x84, 0xc1, 0xf8] {
                agree(&[prefix, opcode, modrm, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
                agree(&[0x66, prefix, opcode, modrm, 1, 2, 3, 4, 5, 6, 7, 8]);
                agree(&[prefix, 0x0f, opcode, modrm, 1, 2, 3, 4, 5, 6]);
            }
        }
    }
}
