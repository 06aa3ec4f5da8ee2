//! The vocabulary agrees with tables that were typed from the manual by themselves.

use std::collections::BTreeMap;

use intercepts::{EXITS, Intercept, vmcb};

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

#[test]
fn offsets_and_sizes_of_the_fields_agree_with_the_second_source() {
    let theirs: Vec<(usize, usize, &str)> = rows(include_str!("data/fields.csv"))
        .map(|row| {
            let [offset, bytes, name] = row[..] else {
                panic!("{row:?}")
            };
            (hex(offset) as usize, bytes.parse().expect("a size"), name)
        })
        .collect();
    let ours: Vec<_> = vmcb::fields()
        .filter(|field| !field.is_reserved() || field.name == "reserved_for_host")
        .map(|field| (field.offset, field.bytes, field.name))
        .collect();
    assert_eq!(ours, theirs);
}
