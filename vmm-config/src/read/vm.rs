//! `[[vm]]` with its `[[vm.io]]` and `[[vm.msr]]`.

use intercepts::MSRS;
use toml::de::{DeTable, DeValue};

use super::irq::{FOCUS, VMM};
use super::reader::{Reader, Value, span};
use super::{note, units};
use crate::rules;
use crate::source::{At, Span};
use crate::words::{
    Counters, CpuModel, Device, Flush, Halted, MsrAction, Protocol, Restart, Ticks, Word,
};
use crate::written::{Image, IoRule, MsrRule, Said, Set, Vm};

const KEYS: [&str; 26] = [
    "name",
    "image",
    "protocol",
    "cmdline",
    "initrd",
    "modules",
    "memory",
    "asid",
    "npt",
    "shadow_tables",
    "intercepts",
    "devices",
    "halted",
    "autostart",
    "restart",
    "restart_limit",
    "weight",
    "counters",
    "ticks",
    "trace",
    "tsc_offset",
    "tlb",
    "cpu",
    "cpuid",
    "io",
    "msr",
];

const VM: &str = "a `[[vm]]`";

impl Reader<'_, '_> {
    pub(super) fn vm(&mut self, header: Span, table: &DeTable<'_>, sets: &mut Vec<Set>) -> Vm {
        let mut vm = Vm {
            header,
            name: At::new(String::new(), header),
            image: At::new(Image::Guest, header),
            protocol: Protocol::Auto,
            cmdline: String::new(),
            initrd: None,
            modules: Vec::new(),
            memory: At::new(64 << 20, header),
            asid: None,
            npt: At::new(true, header),
            set: sets.len(),
            devices: Device::DEFAULT.to_vec(),
            halted: Halted::End,
            autostart: At::new(true, header),
            restart: Restart::Never,
            shadow_tables: None,
            restart_limit: None,
            weight: 1,
            counters: At::new(Counters::Totals, header),
            ticks: Ticks::CatchUp,
            trace: 0,
            tsc_offset: 0,
            tlb: At::new(Flush::Auto, header),
            cpu: CpuModel::Minimal,
            cpuid: Vec::new(),
            said: Said::new(),
            io: Vec::new(),
            msrs: Vec::new(),
        };
        let mut set = Set {
            name: None,
            extends: Vec::new(),
            entries: Vec::new(),
        };
        for (key, value) in table {
            note(&mut vm.said, key, &KEYS);
            match key.get_ref().as_ref() {
                "name" => replace(&mut vm.name, self.name(value)),
                "image" => replace(&mut vm.image, self.image(value)),
                "protocol" => {
                    if let Some(protocol) = self.word(value, &rules::UNKNOWN_WORD) {
                        vm.protocol = protocol.value;
                    }
                }
                "cmdline" => replace(&mut vm.cmdline, self.cmdline(value)),
                "initrd" => vm.initrd = self.initrd(value),
                "modules" => vm.modules = self.modules(value),
                "memory" => replace(
                    &mut vm.memory,
                    self.measure(value, "a size", "\"64 MiB\"", units::size),
                ),
                "asid" => {
                    vm.asid = self
                        .number(value, "ASID", 0..=u32::MAX.into())
                        .map(|asid| asid.map(|number| number as u32));
                }
                "npt" => replace(&mut vm.npt, self.flag(value)),
                "shadow_tables" => {
                    vm.shadow_tables = self.measure(value, "a size", "\"1 MiB\"", units::size);
                }
                "intercepts" => match value.get_ref() {
                    DeValue::Table(entries) => set = self.set(None, entries),
                    _ => set.extends = self.set_names(value),
                },
                "devices" => vm.devices = self.devices(value),
                "halted" => {
                    if let Some(halted) = self.word(value, &rules::UNKNOWN_WORD) {
                        vm.halted = halted.value;
                    }
                }
                "autostart" => replace(&mut vm.autostart, self.flag(value)),
                "restart" => {
                    if let Some(restart) = self.word(value, &rules::UNKNOWN_WORD) {
                        vm.restart = restart.value;
                    }
                }
                "restart_limit" => {
                    vm.restart_limit = self
                        .number(value, "number of restarts", 1..=1_000_000)
                        .map(|limit| limit.map(|number| number as u32));
                }
                "weight" => replace(
                    &mut vm.weight,
                    self.number(value, "weight", 1..=1000)
                        .map(|weight| weight.value as u32),
                ),
                "counters" => replace(&mut vm.counters, self.word(value, &rules::UNKNOWN_WORD)),
                "ticks" => {
                    if let Some(ticks) = self.word(value, &rules::UNKNOWN_WORD) {
                        vm.ticks = ticks.value;
                    }
                }
                "trace" => replace(
                    &mut vm.trace,
                    self.number(value, "number of exits", 0..=65536)
                        .map(|exits| exits.value as u32),
                ),
                "tsc_offset" => replace(
                    &mut vm.tsc_offset,
                    self.number(value, "TSC offset", i64::MIN.into()..=i64::MAX.into())
                        .map(|offset| offset.value as i64),
                ),
                "tlb" => replace(&mut vm.tlb, self.word(value, &rules::UNKNOWN_WORD)),
                "cpu" => {
                    if let Some(cpu) = self.word(value, &rules::UNKNOWN_WORD) {
                        vm.cpu = cpu.value;
                    }
                }
                "cpuid" => vm.cpuid = self.cpuid(value),
                "io" => {
                    for (header, table) in self.tables(value, "[[vm.io]]") {
                        vm.io.extend(self.io_rule(header, table));
                    }
                }
                "msr" => {
                    for (header, table) in self.tables(value, "[[vm.msr]]") {
                        vm.msrs.extend(self.msr_rule(header, table));
                    }
                }
                _ => self.unknown_key(key, VM, &KEYS),
            }
        }
        for (key, example) in [
            ("name", "\"demo\""),
            ("memory", "\"64 MiB\""),
            ("intercepts", "\"base\""),
        ] {
            if !table.contains_key(key) {
                self.missing(header, VM, key, example);
            }
        }
        sets.push(set);
        vm
    }

    fn name(&mut self, value: &Value<'_>) -> Option<At<String>> {
        let name = self.text(value, "\"demo\"")?;
        let legal = (1..=32).contains(&name.value.len())
            && name
                .value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && ![VMM, FOCUS].contains(&name.value);
        if !legal {
            self.found
                .add(
                    &rules::NAME,
                    name.span,
                    format!("`{}` cannot be the name of a VM", name.value.escape_debug()),
                )
                .help("write a short word, as in `demo`");
            return None;
        }
        Some(name.map(str::to_owned))
    }

    fn devices(&mut self, value: &Value<'_>) -> Vec<Device> {
        let mut devices: Vec<Device> = Vec::new();
        for text in self.texts(value, "[\"pic\", \"pit\"]") {
            match Device::by_name(text.value) {
                Some(device) => devices.push(device),
                None => {
                    let names: Vec<_> = Device::ALL.iter().map(|device| device.name()).collect();
                    self.unknown(&rules::UNKNOWN_DEVICE, text, Device::WHAT, &names);
                }
            }
        }
        devices.sort();
        devices.dedup();
        devices
    }

    /// Ports as a number or a range.
    pub(super) fn ports(&mut self, value: &Value<'_>) -> Option<At<(u16, u16)>> {
        let ports = self.range(value, "a port", "\"0x220-0x22f\"", 0xffff)?;
        Some(ports.map(|(first, last)| (first as u16, last as u16)))
    }

    fn io_rule(&mut self, header: Span, table: &DeTable<'_>) -> Option<IoRule> {
        let (mut ports, mut action) = (None, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "ports" => ports = self.ports(value),
                "action" => action = self.word(value, &rules::UNKNOWN_WORD),
                _ => self.unknown_key(key, "a `[[vm.io]]`", &["ports", "action"]),
            }
        }
        for (key, example) in [("ports", "\"0xf4\""), ("action", "\"exit\"")] {
            if !table.contains_key(key) {
                self.missing(header, "a `[[vm.io]]`", key, example);
            }
        }
        Some(IoRule {
            ports: ports?,
            action: action?,
        })
    }

    fn msr_rule(&mut self, header: Span, table: &DeTable<'_>) -> Option<MsrRule> {
        let mut msrs = None;
        let unsaid = At::new(MsrAction::Emulate, header);
        let (mut read, mut write) = (unsaid, unsaid);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "msr" => msrs = self.msrs(value),
                "read" => replace(&mut read, self.word(value, &rules::UNKNOWN_WORD)),
                "write" => replace(&mut write, self.word(value, &rules::UNKNOWN_WORD)),
                _ => self.unknown_key(key, "a `[[vm.msr]]`", &["msr", "read", "write"]),
            }
        }
        if !table.contains_key("msr") {
            self.missing(header, "a `[[vm.msr]]`", "msr", "\"tsc_aux\"");
        }
        if !table.contains_key("read") && !table.contains_key("write") {
            self.found
                .add(
                    &rules::MISSING_KEY,
                    header,
                    "a `[[vm.msr]]` needs the key `read` or `write`",
                )
                .help("add `read = \"emulate\"`");
        }
        Some(MsrRule {
            header,
            msrs: msrs?,
            read,
            write,
        })
    }

    /// MSRs by name, by number, or as a range of numbers.
    pub(super) fn msrs(&mut self, value: &Value<'_>) -> Option<At<(u32, u32)>> {
        if let Some(name) = value.get_ref().as_str()
            && !name.starts_with(|c: char| c.is_ascii_digit())
        {
            let text = At::new(name, span(value));
            let msr = intercepts::msr_by_name(name);
            if msr.is_none() {
                let names: Vec<_> = MSRS.iter().map(|msr| msr.name).collect();
                self.unknown(&rules::UNKNOWN_MSR, text, "MSR", &names);
            }
            return msr.map(|msr| At::new((msr.number, msr.number), text.span));
        }
        let range = self.range(
            value,
            "an MSR",
            "\"0xc0000100-0xc0000102\"",
            u32::MAX.into(),
        )?;
        Some(range.map(|(first, last)| (first as u32, last as u32)))
    }
}

/// Puts what was read in the place of the default.
fn replace<T>(place: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *place = read;
    }
}
