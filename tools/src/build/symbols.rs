//! A binary's functions, put into the binary: so that its last words can name who called whom, on
//! whatever screen there is.
//!
//! The linker script leaves room for them, a section `.symbols`; a binary without it gets none.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use xmas_elf::ElfFile;
use xmas_elf::sections::SectionData;
use xmas_elf::symbol_table::{Entry, Type};

const SECTION: &str = ".symbols";
/// Where the compiler tells the room that each function takes on the stack: its address in eight
/// bytes, and the bytes of the stack in LEB128.
const STACK_SIZES: &str = ".stack_sizes";
/// A line of the screen has room for this much of a name, and the address.
const LONGEST: usize = 44;

/// Fills the section of the file at `path`, if it has one.
pub fn add(path: &Path) -> io::Result<()> {
    let mut file = std::fs::read(path)?;
    let Some((place, text)) = names(&file).map_err(io::Error::other)? else {
        return Ok(());
    };
    let room = file
        .get_mut(place)
        .ok_or_else(|| io::Error::other("its section of names lies outside it"))?;
    fill(room, &text);
    std::fs::write(path, file)
}

/// Where the names go in the file, and what they are: a line each, by address, of the function's
/// offset, its room on the stack, and its name.
fn names(file: &[u8]) -> Result<Option<(std::ops::Range<usize>, String)>, &'static str> {
    let elf = ElfFile::new(file)?;
    let Some(section) = elf.find_section_by_name(SECTION) else {
        return Ok(None);
    };
    let start = section.offset() as usize;
    let place = start..start.saturating_add(section.size() as usize);
    let code = elf
        .find_section_by_name(".text")
        .map_or(0..0, |text| text.address()..text.address() + text.size());
    let mut functions = Vec::new();
    if let Some(table) = elf.find_section_by_name(".symtab")
        && let SectionData::SymbolTable64(symbols) = table.get_data(&elf)?
    {
        for symbol in symbols {
            // Labels of assembly have no type; where one stands at a function, that is its name.
            let is_label = match symbol.get_type() {
                Ok(Type::Func) => false,
                Ok(Type::NoType) => true,
                _ => continue,
            };
            if code.contains(&symbol.value()) {
                let offset = symbol.value() - code.start;
                functions.push((offset, is_label, symbol.get_name(&elf)?));
            }
        }
    }
    functions.sort_unstable();
    functions.dedup_by_key(|(offset, ..)| *offset);
    let rooms = elf
        .find_section_by_name(STACK_SIZES)
        .map(|section| rooms(section.raw_data(&elf)))
        .unwrap_or_default();
    let mut text = String::new();
    for (offset, _, name) in functions {
        let room = rooms
            .get(&(code.start + offset))
            .map_or("-".to_owned(), |room| format!("{room:x}"));
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let short: String = name.chars().take(LONGEST).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{offset:x} {room} {short}");
    }
    Ok(Some((place, text)))
}

/// The room on the stack of each function, by its address.
fn rooms(mut section: &[u8]) -> BTreeMap<u64, u64> {
    let mut rooms = BTreeMap::new();
    while let Some((address, rest)) = section.split_first_chunk() {
        let length = rest.iter().take_while(|byte| **byte & 0x80 != 0).count();
        let Some((digits, rest)) = rest.split_at_checked(length + 1) else {
            break;
        };
        let room = digits
            .iter()
            .rev()
            .fold(0, |room: u64, byte| room << 7 | u64::from(byte & 0x7f));
        rooms.insert(u64::from_le_bytes(*address), room);
        section = rest;
    }
    rooms
}

/// Puts whole lines of `text` into `room`, as many as fit before a zero byte, and zeroes after.
fn fill(room: &mut [u8], text: &str) {
    room.fill(0);
    let most = room.len().saturating_sub(1).min(text.len());
    let end = text.as_bytes()[..most]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    room[..end].copy_from_slice(&text.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_by_the_line() {
        let mut room = [1; 8];
        fill(&mut room, "a b\nc d\n");
        assert_eq!(&room, b"a b\n\0\0\0\0");
        fill(&mut room, "x y\n");
        assert_eq!(&room, b"x y\n\0\0\0\0");
        let mut room = [1; 9];
        fill(&mut room, "a b\nc d\n");
        assert_eq!(&room, b"a b\nc d\n\0");
    }

    #[test]
    fn the_room_on_the_stack_is_read_for_each_function() {
        let mut section = 0x10_0000_u64.to_le_bytes().to_vec();
        section.push(0x28);
        section.extend(0x10_0040_u64.to_le_bytes());
        section.extend([0x88, 0x20]);
        let both = [(0x10_0000, 0x28), (0x10_0040, 0x1008)];
        assert_eq!(rooms(&section), BTreeMap::from(both));
        section.extend([1, 2, 3]);
        assert_eq!(rooms(&section), BTreeMap::from(both), "cut short");
        assert_eq!(rooms(&[0xff; 20]), BTreeMap::new());
    }

    #[test]
    fn a_file_that_is_no_elf_file_is_an_error() {
        assert!(names(b"nothing of the kind").is_err());
    }
}
