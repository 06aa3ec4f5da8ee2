//! Values read in words: a register or field cut into its bits.
//!
//! Cutting loses nothing: [`encode`] of what [`cut`] gives is the value again.

use super::model::{BitsRow, Reference};
use super::rows::hex;

/// Something of which a value can be read.
#[derive(Debug)]
pub struct Subject<'r> {
    /// Its names, the first as the reference spells it.
    pub names: Vec<String>,
    /// What it holds.
    pub meaning: &'r str,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its bits, tiled; empty for a plain number.
    pub bits: &'r [BitsRow],
}

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'r> {
    /// The name of the bits; none for reserved ones, and for a plain number.
    pub name: Option<&'r str>,
    /// The highest bit.
    pub high: u8,
    /// The lowest bit.
    pub low: u8,
    /// What they hold.
    pub value: u128,
    /// What they mean.
    pub meaning: &'r str,
    /// What this value stands for, if it is one of a choice.
    pub stands_for: Option<&'r str>,
}

/// Cuts a value of so many bytes into its bits.
pub fn cut<'r>(bits: &'r [BitsRow], bytes: usize, value: u128) -> Vec<Part<'r>> {
    if bits.is_empty() {
        return vec![Part {
            name: None,
            high: u8::try_from(bytes * 8 - 1).unwrap_or(u8::MAX),
            low: 0,
            value,
            meaning: "",
            stands_for: None,
        }];
    }
    bits.iter()
        .map(|row| {
            let width = row.high - row.low + 1;
            let value = value >> row.low & (u128::MAX >> (128 - u32::from(width)));
            let choice = row.values.iter().find(|(of, _)| u128::from(*of) == value);
            Part {
                name: row.name,
                high: row.high,
                low: row.low,
                value,
                meaning: row.meaning,
                stands_for: choice.map(|(_, stands_for)| *stands_for),
            }
        })
        .collect()
}

/// Puts a value together again.
pub fn encode(parts: &[Part<'_>]) -> u128 {
    parts
        .iter()
        .fold(0, |value, part| value | part.value << part.low)
}

/// The value and its bits that are not zero, a line each.
pub fn text(title: &str, bytes: usize, parts: &[Part<'_>]) -> String {
    let mut text = format!("{title} = {}\n", hex(encode(parts), bytes));
    for part in parts {
        let is_choice = part.stands_for.is_some() && part.high != part.low;
        if part.value == 0 && !is_choice || part.name.is_none() && parts.len() == 1 {
            continue;
        }
        let place = if part.high == part.low {
            format!("{}", part.low)
        } else {
            format!("{}:{}", part.high, part.low)
        };
        let name = part.name.unwrap_or("reserved");
        let value = if part.high == part.low {
            String::new()
        } else {
            format!(" = {:#x}", part.value)
        };
        let says = match (part.name, part.stands_for) {
            (None, _) => "should be 0".to_owned(),
            (_, Some(stands_for)) => format!("{}: {stands_for}", part.meaning),
            _ => part.meaning.to_owned(),
        };
        text.push_str(&format!("    {place:>7}  {name}{value}: {says}\n"));
    }
    text
}

/// Everything of which a value can be read: fields, MSRs, exit information, CPUID.
pub fn subjects(reference: &Reference) -> Vec<Subject<'_>> {
    let fields = reference
        .fields
        .iter()
        .filter(|field| !field.reserved && field.bytes <= 16)
        .map(|field| {
            let mut names = vec![
                field.name.to_owned(),
                format!("{:#x}", field.offset),
                format!("{:#05x}", field.offset),
                format!("{:03x}h", field.offset),
            ];
            names.extend(aliases(field.name).iter().map(|alias| (*alias).to_owned()));
            Subject {
                names,
                meaning: field.meaning,
                bytes: field.bytes,
                bits: &field.bits,
            }
        });
    let infos = reference.exits.iter().flat_map(|exit| {
        [
            ("info1", exit.info1, &exit.info1_bits),
            ("info2", exit.info2, &exit.info2_bits),
        ]
        .map(|(info, meaning, bits)| Subject {
            names: vec![
                format!("{}.{info}", exit.name),
                format!("{}.exit{info}", exit.name),
                format!("{}.{info}", exit.apm.to_lowercase()),
            ],
            meaning,
            bytes: 8,
            bits,
        })
    });
    let msrs = reference.msrs.iter().map(|msr| Subject {
        names: vec![msr.name.to_owned(), msr.number.clone()],
        meaning: msr.meaning,
        bytes: 8,
        bits: &msr.bits,
    });
    let cpuid = reference.cpuid.iter().map(|row| {
        let register = row.register.to_lowercase();
        Subject {
            names: vec![format!("8000_000a.{register}"), format!("cpuid.{register}")],
            meaning: row.meaning,
            bytes: 4,
            bits: &row.bits,
        }
    });
    fields.chain(infos).chain(msrs).chain(cpuid).collect()
}

/// What else the manual, or people, call a field.
fn aliases(field: &str) -> &'static [&'static str] {
    match field {
        "intercept_exceptions" => &["intercepts2"],
        "intercept_misc1" => &["intercepts3"],
        "intercept_misc2" => &["intercepts4"],
        "intercept_misc3" => &["intercepts5"],
        "exit_code" => &["exitcode"],
        "exit_info1" => &["exitinfo1"],
        "exit_info2" => &["exitinfo2"],
        "exit_int_info" => &["exitintinfo"],
        "event_injection" => &["eventinj"],
        "nested_cr3" => &["n_cr3", "ncr3"],
        "next_rip" => &["nrip"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static REFERENCE: LazyLock<Reference> = LazyLock::new(|| Reference::new(Vec::new()));

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn putting_together_what_was_cut_gives_the_value_again(bytes in any::<[u8; 16]>()) {
            for subject in subjects(&REFERENCE) {
                let width = u32::try_from(subject.bytes * 8).unwrap();
                let value = u128::from_le_bytes(bytes) & (u128::MAX >> (128 - width));
                let parts = cut(subject.bits, subject.bytes, value);
                prop_assert_eq!(encode(&parts), value, "{}", &subject.names[0]);
            }
        }
    }

    #[test]
    fn every_name_means_one_thing() {
        let mut names: Vec<_> = subjects(&REFERENCE)
            .into_iter()
            .flat_map(|subject| {
                let mut names = subject.names;
                names.sort();
                names.dedup();
                names
            })
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn bits_that_are_set_are_named_and_reserved_ones_are_blamed() {
        let subjects = subjects(&REFERENCE);
        let subject = |name: &str| {
            subjects
                .iter()
                .find(|subject| subject.names.iter().any(|other| other == name))
                .unwrap()
        };
        let words = |name: &str, value| {
            let subject = subject(name);
            text(
                name,
                subject.bytes,
                &cut(subject.bits, subject.bytes, value),
            )
        };
        assert_eq!(
            words("eventinj", 0x8000_0b0d),
            "eventinj = 0x0000000080000b0d\n        \
             7:0  VECTOR = 0xd: Vector; ignored for an NMI\n       \
             10:8  TYPE = 0x3: What kind of event: exception\n         \
             11  EV: The event has an error code\n         \
             31  V: There is an event; otherwise the rest may be stale\n"
        );
        assert!(words("0x0a8", 1 << 12).contains("30:12  reserved = 0x1: should be 0"));
        assert!(words("intercepts3", 1 << 27).contains("ioio"));
        assert!(words("ioio.info1", 1).contains("IN or INS"));
        assert_eq!(words("rip", 7), "rip = 0x0000000000000007\n");
    }
}
