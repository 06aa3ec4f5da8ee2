//! The functions of a binary: their names as a person writes them, and where they are.

use std::collections::BTreeMap;
use std::path::Path;

use xmas_elf::ElfFile;
use xmas_elf::sections::SectionData;
use xmas_elf::symbol_table::{Entry, Type};

use crate::failure::{Doing, Result};

/// Reads those of the ELF file at `path`. Of functions that share a name, one is left out.
pub fn of(path: &Path) -> Result<BTreeMap<String, u64>> {
    let file = std::fs::read(path).doing(|| format!("read {}", path.display()))?;
    read(&file).doing(|| format!("read the symbols of {}", path.display()))
}

fn read(file: &[u8]) -> std::result::Result<BTreeMap<String, u64>, &'static str> {
    let elf = ElfFile::new(file)?;
    let mut functions = BTreeMap::new();
    let Some(table) = elf.find_section_by_name(".symtab") else {
        return Ok(functions);
    };
    match table.get_data(&elf)? {
        SectionData::SymbolTable64(symbols) => add(&mut functions, &elf, symbols)?,
        SectionData::SymbolTable32(symbols) => add(&mut functions, &elf, symbols)?,
        _ => {}
    }
    Ok(functions)
}

fn add(
    functions: &mut BTreeMap<String, u64>,
    elf: &ElfFile<'_>,
    symbols: &[impl Entry],
) -> std::result::Result<(), &'static str> {
    for symbol in symbols {
        if symbol.get_type() == Ok(Type::Func) {
            let name = rustc_demangle::demangle(symbol.get_name(elf)?);
            functions.insert(format!("{name:#}"), symbol.value());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_of_this_very_program_are_found_by_their_names() {
        let this = std::env::current_exe().expect("a program");
        let functions = of(&this).expect("functions");
        let mine = "tools::lab::debug::functions::of";
        assert!(functions.contains_key(mine), "{}", functions.len());
        assert!(read(b"no program").is_err());
    }
}
