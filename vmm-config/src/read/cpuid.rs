//! `[vm.cpuid]`: what the guest's CPU claims to be.

use intercepts::{CPUID_FEATURES, CpuidFeature};
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, Value, span};
use super::units;
use crate::rules;
use crate::source::At;
use crate::written::{CpuidChange, CpuidLeaf};

const KEYS: [&str; 3] = ["hide", "show", "set"];
const REGISTERS: [&str; 4] = ["eax", "ebx", "ecx", "edx"];

impl Reader<'_, '_> {
    /// `hide = […]`, `show = […]`, `set = { "0x40000000" = { eax = … } }`.
    pub(super) fn cpuid(&mut self, value: &Value<'_>) -> Vec<At<CpuidChange>> {
        let mut changes = Vec::new();
        for (key, value) in self.table(value, "[vm.cpuid]").into_iter().flatten() {
            match key.get_ref().as_ref() {
                "hide" => self.listed(
                    value,
                    CpuidChange::HideFeature,
                    CpuidChange::HideLeaf,
                    &mut changes,
                ),
                "show" => self.listed(
                    value,
                    CpuidChange::ShowFeature,
                    CpuidChange::ShowLeaf,
                    &mut changes,
                ),
                "set" => {
                    for (key, value) in self.table(value, "set = { … }").into_iter().flatten() {
                        let name = At::new(key.get_ref().as_ref(), span(key));
                        let registers = self
                            .table(value, "{ eax = 0 }")
                            .map(|table| self.registers(table));
                        if let (Some(leaf), Some(registers)) = (self.leaf(name), registers) {
                            changes.push(At::new(CpuidChange::Set(leaf, registers), name.span));
                        }
                    }
                }
                _ => self.unknown_key(key, "`[vm.cpuid]`", &KEYS),
            }
        }
        changes
    }

    /// Features by name, leaves by number.
    fn listed(
        &mut self,
        value: &Value<'_>,
        feature: fn(&'static CpuidFeature) -> CpuidChange,
        leaf: fn(CpuidLeaf) -> CpuidChange,
        changes: &mut Vec<At<CpuidChange>>,
    ) {
        let Some(items) = self.list(value, "[\"sse3\", 0x80000008]") else {
            return;
        };
        for item in items {
            if let DeValue::Integer(_) = item.get_ref() {
                let number = self.number(item, "CPUID leaf", 0..=u32::MAX.into());
                changes.extend(number.map(|number| {
                    number.map(|number| {
                        leaf(CpuidLeaf {
                            leaf: number as u32,
                            subleaf: 0,
                        })
                    })
                }));
                continue;
            }
            let Some(name) = self.text(item, "\"sse3\"") else {
                continue;
            };
            if let Some(known) = CpuidFeature::by_name(name.value) {
                changes.push(At::new(feature(known), name.span));
            } else if let Some(number) = self.leaf(name) {
                changes.push(At::new(leaf(number), name.span));
            }
        }
    }

    /// `LEAF` or `LEAF.SUBLEAF`.
    fn leaf(&mut self, name: At<&str>) -> Option<CpuidLeaf> {
        let is_number = name.value.starts_with(|c: char| c.is_ascii_digit())
            && !name.value.contains(|c: char| !is_of_number(c));
        if !is_number {
            let names: Vec<_> = CPUID_FEATURES.iter().map(|feature| feature.name).collect();
            self.found
                .add(
                    &rules::UNKNOWN_CPUID,
                    name.span,
                    format!("unknown CPUID feature `{}`", name.value.escape_debug()),
                )
                .help(match crate::near::nearest(name.value, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write a name such as `sse3`, or a leaf such as `0x80000008`".into(),
                });
            return None;
        }
        let (leaf, subleaf) = name.value.split_once('.').unwrap_or((name.value, "0"));
        let word = |text| units::number(text).and_then(|number| u32::try_from(number).ok());
        let leaf = word(leaf).zip(word(subleaf));
        if leaf.is_none() {
            self.found
                .add(
                    &rules::OUT_OF_RANGE,
                    name.span,
                    format!("`{}` is no CPUID leaf", name.value.escape_debug()),
                )
                .help("write LEAF or LEAF.SUBLEAF, as in `0x80000008` or `7.0`");
        }
        leaf.map(|(leaf, subleaf)| CpuidLeaf { leaf, subleaf })
    }

    fn registers(&mut self, table: &DeTable<'_>) -> [Option<u32>; 4] {
        let mut registers = [None; 4];
        for (key, value) in table {
            let index = REGISTERS.iter().position(|name| *name == key.get_ref());
            match index.and_then(|index| registers.get_mut(index)) {
                Some(register) => {
                    *register = self
                        .number(value, "register", 0..=u32::MAX.into())
                        .map(|number| number.value as u32);
                }
                None => self.unknown_key(key, "a leaf of CPUID", &REGISTERS),
            }
        }
        registers
    }
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_hexdigit() || matches!(c, 'x' | 'X' | '_' | '.')
}
