//! The vocabulary agrees with tables that were typed from the manual by themselves.

use std::collections::BTreeMap;

use intercepts::vmcb::{self, Flow};
use intercepts::{Bits, EXITS, FEATURES, INSTRUCTIONS, Intercept, MSRS, Register, info};

/// The lines of a table, without comments and heading, cut at the commas.
fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| line.split(',').collect())
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).expect("a hexadecimal number")
}

#[test]
fn codes_names_words_and_bits_of_the_exits_agree_with_the_second_source() {
    let theirs: BTreeMap<u64, (String, Option<(u64, u8)>)> = rows(include_str!("data/exits.csv"))
        .map(|row| {
            let [code, name, offset, bit] = row[..] else {
                panic!("{row:?}")
            };
            let place =
                (!offset.is_empty()).then(|| (hex(offset), bit.parse().expect("a bit number")));
            (hex(code), (name.to_owned(), place))
        })
        .collect();
    let ours: BTreeMap<u64, (String, Option<(u64, u8)>)> = EXITS
        .iter()
        .map(|exit| {
            let place = match exit.intercept {
                Intercept::Bit { offset, bit } => Some((offset.into(), bit)),
                _ => None,
            };
            (exit.code as u64, (exit.apm.to_owned(), place))
        })
        .collect();
    assert_eq!(ours, theirs);
}

/// A format as the tables write it.
fn format(bits: impl Iterator<Item = Bits>) -> String {
    let rows: Vec<_> = bits
        .map(
            |Bits {
                 name, high, low, ..
             }| {
                if high == low {
                    format!("{name}@{high}")
                } else {
                    format!("{name}@{high}:{low}")
                }
            },
        )
        .collect();
    rows.join(" ")
}

#[test]
fn offsets_sizes_and_directions_of_the_fields_agree_with_the_second_source() {
    let theirs: Vec<(usize, usize, &str, &str)> = rows(include_str!("data/fields.csv"))
        .map(|row| {
            let [offset, bytes, name, cpu] = row[..] else {
                panic!("{row:?}")
            };
            let bytes = bytes.parse().expect("a size");
            (hex(offset) as usize, bytes, name, cpu)
        })
        .collect();
    let ours: Vec<_> = vmcb::fields()
        .filter(|field| !field.is_reserved())
        .map(|field| {
            let cpu = match field.flow {
                Flow::Request => "r",
                Flow::Answer => "w",
                Flow::Found => "v",
                Flow::Exchange => "rw",
                Flow::Carried => "ls",
                Flow::Software | Flow::Reserved => "-",
            };
            (field.offset, field.bytes, field.name, cpu)
        })
        .collect();
    assert_eq!(ours, theirs);
}

#[test]
fn the_formats_of_fields_and_of_exit_information_agree_with_the_second_source() {
    let theirs: BTreeMap<String, String> = rows(include_str!("data/bits.csv"))
        .flat_map(|row| {
            let [name, bits] = row[..] else {
                panic!("{row:?}")
            };
            // One row stands for the 16 registers of a kind.
            let count = if name.contains('*') { 16 } else { 1 };
            (0..count).map(move |number| {
                let name = name.replace('*', &format!("{number}"));
                (name, bits.to_owned())
            })
        })
        .collect();
    let fields =
        vmcb::fields().map(|field| (field.name.to_owned(), format(field.bits.iter().copied())));
    let infos = EXITS.iter().flat_map(|exit| {
        info::info_bits(exit.code)
            .into_iter()
            .zip(1..)
            .map(|(bits, number)| {
                let name = format!("{}.{number}", exit.apm);
                (name, format(bits.iter().copied()))
            })
    });
    let ours: BTreeMap<String, String> = fields
        .chain(infos)
        .filter(|(_, bits)| !bits.is_empty())
        .collect();
    assert_eq!(ours, theirs);
}

/// What the values of bits stand for; the registers of DR7 and the attributes of the PAT are alike.
#[test]
fn the_choices_agree_with_the_second_source() {
    let theirs: BTreeMap<(String, u64), &str> = rows(include_str!("data/choices.csv"))
        .map(|row| {
            let [name, value, word] = row[..] else {
                panic!("{row:?}")
            };
            ((name.to_owned(), value.parse().expect("a value")), word)
        })
        .collect();
    let fields = vmcb::fields().map(|field| (field.name.to_owned(), field.bits));
    let infos = EXITS.iter().flat_map(|exit| {
        let infos = info::info_bits(exit.code).into_iter().zip(1..);
        infos.map(|(bits, number)| (format!("{}.{number}", exit.apm), bits))
    });
    let mut ours = BTreeMap::new();
    for (name, bits) in fields.chain(infos) {
        for row in bits {
            let kind = row
                .name
                .trim_end_matches(|letter: char| letter.is_ascii_digit());
            for (value, stands_for) in row.values {
                ours.insert((format!("{name}.{kind}"), *value), *stands_for);
            }
        }
    }
    assert!(ours.keys().eq(theirs.keys()), "{ours:#?}");
    for (choice, word) in theirs {
        assert!(ours[&choice].contains(word), "{choice:?}: {word}");
    }
}

/// Everything else of the save area is 0 after a reset.
#[test]
fn the_values_after_a_reset_agree_with_the_second_source() {
    let theirs: Vec<(&str, u128)> = rows(include_str!("data/resets.csv"))
        .map(|row| {
            let [name, selector, attributes, limit, base] = row[..] else {
                panic!("{row:?}")
            };
            let [selector, attributes, limit, base] =
                [selector, attributes, limit, base].map(|digits| u128::from(hex(digits)));
            (name, base << 64 | limit << 32 | attributes << 16 | selector)
        })
        .chain(rows(include_str!("data/registers.csv")).map(|row| {
            let [name, value] = row[..] else {
                panic!("{row:?}")
            };
            (name, hex(value).into())
        }))
        .collect();
    let ours = vmcb::fields().filter(|field| field.reset != 0);
    let theirs: BTreeMap<_, _> = theirs.into_iter().collect();
    let ours: BTreeMap<_, _> = ours.map(|field| (field.name, field.reset)).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn the_msrs_of_svm_agree_with_the_second_source() {
    let theirs: Vec<(u64, &str, String)> = rows(include_str!("data/msrs.csv"))
        .map(|row| {
            let [number, name, bits] = row[..] else {
                panic!("{row:?}")
            };
            (hex(number), name, bits.to_owned())
        })
        .collect();
    let ours: Vec<_> = MSRS
        .iter()
        .filter(|msr| msr.is_of_svm())
        .map(|msr| {
            (
                msr.number.into(),
                msr.name,
                format(msr.bits.iter().copied()),
            )
        })
        .collect();
    assert_eq!(ours, theirs);
}

#[test]
fn the_features_agree_with_the_second_source() {
    let theirs: BTreeMap<&str, (u64, Register, u8)> = rows(include_str!("data/features.csv"))
        .map(|row| {
            let [leaf, register, bit, name] = row[..] else {
                panic!("{row:?}")
            };
            let register = match register {
                "eax" => Register::Eax,
                "ebx" => Register::Ebx,
                "ecx" => Register::Ecx,
                "edx" => Register::Edx,
                other => panic!("{other} is no register"),
            };
            let bit = bit.parse().expect("a bit number");
            (name, (hex(leaf), register, bit))
        })
        .collect();
    let ours: BTreeMap<_, _> = FEATURES
        .iter()
        .map(|feature| {
            assert_eq!(feature.subleaf, 0, "{}", feature.name);
            let place = (feature.leaf.into(), feature.register, feature.bit);
            (feature.name, place)
        })
        .collect();
    assert_eq!(ours, theirs);
}

/// Opcodes as QEMU's decoder has them (target/i386/tcg/translate.c, case 0x101).
#[test]
fn the_opcodes_of_the_instructions_agree_with_the_second_source() {
    let last_byte = |mnemonic: &str| match mnemonic {
        "VMRUN" => 0xd8,
        "VMMCALL" | "VMGEXIT" => 0xd9,
        "VMLOAD" => 0xda,
        "VMSAVE" => 0xdb,
        "STGI" => 0xdc,
        "CLGI" => 0xdd,
        "SKINIT" => 0xde,
        "INVLPGA" => 0xdf,
        "INVLPGB" => 0xfe,
        "TLBSYNC" => 0xff,
        other => panic!("{other} is not in the second source"),
    };
    assert_eq!(INSTRUCTIONS.len(), 11);
    for instruction in INSTRUCTIONS {
        let opcode = instruction
            .opcode
            .strip_prefix(&[0xf3])
            .unwrap_or(instruction.opcode);
        assert_eq!(
            opcode,
            [0x0f, 0x01, last_byte(instruction.mnemonic)],
            "{}",
            instruction.mnemonic
        );
        assert_eq!(
            instruction.opcode.len() == 4,
            instruction.mnemonic == "VMGEXIT"
        );
    }
}
