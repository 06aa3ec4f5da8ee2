//! What a VMCB holds at a VM's first VMRUN beside the fields that a policy says itself: the state
//! that the VMM begins with, and the loader of the kernel.

use intercepts::msr::msr_by_number;
use intercepts::vmcb::control::vintr;
use intercepts::vmcb::start::{self, Selectors};
use intercepts::vmcb::{Field, Save, Vmcb};
use vmm_config::lowered::{IoRule, MsrRule, Vm};
use vmm_config::words::{IoAction, Protocol, Word};
use vmm_config::written::Image;

use super::{PartView, ValueView, part};
use crate::reference::decode;
use crate::reference::rows::{hex, tiled};

/// Who decides where the policy does not.
const VMM: &str = "the VMM, when the VM starts";
const LOADER: &str = "the loader, as the kernel's protocol wants it";

/// The values of these fields.
pub fn values(vm: &Vm) -> impl Iterator<Item = ValueView> {
    let starts = starts(vm);
    let save = Save::FIELDS
        .iter()
        .filter_map(move |field| of_save(vm, field, &starts));
    control(vm).into_iter().chain(save)
}

fn control(vm: &Vm) -> Vec<ValueView> {
    let vmm = |key, what: &str| vec![part(what.to_owned(), vm.origins.get(key), VMM)];
    let flushed = "all that is the VM's at the first VMRUN, then as translations change";
    let mut values = vec![
        at_run_time("iopm_base_pa", ports(&vm.io)),
        at_run_time("msrpm_base_pa", msrs(&vm.msrs)),
        at_run_time("tlb_control", vmm("tlb", flushed)),
        ValueView {
            field: "vintr",
            value: Some(hex(vintr::V_INTR_MASKING.into(), 8)),
            parts: vmm("", "V_INTR_MASKING"),
        },
    ];
    if vm.npt {
        let table = vmm("memory", "the VM's nested page table");
        values.push(at_run_time("nested_cr3", table));
    }
    values
}

/// The value of a field of the save area, if it is not zero.
fn of_save(vm: &Vm, field: &Field, starts: &[Vmcb]) -> Option<ValueView> {
    let one = |key, what: String| vec![part(what, vm.origins.get(key), LOADER)];
    if let Some((key, what)) = of_machine(vm, field.name) {
        return Some(at_run_time(field.name, one(key, what.to_owned())));
    }
    let mut found = starts.iter().map(|vmcb| number(vmcb, field));
    let first = found.next()?;
    if !found.all(|other| other == first) {
        let what = "by the kernel's protocol, which its file shows".to_owned();
        return Some(at_run_time(field.name, one("image", what)));
    }
    (first != 0).then(|| ValueView {
        field: field.name,
        value: Some(hex(first, field.bytes)),
        parts: one("protocol", words(field, first)),
    })
}

/// What a register has that only the running VMM knows, and the key that decides it.
fn of_machine(vm: &Vm, register: &str) -> Option<(&'static str, &'static str)> {
    let protocol = protocol(vm);
    let may_be = |one| protocol.is_none_or(|protocol| protocol == one);
    match register {
        "rip" => Some(("image", "the kernel's entry")),
        "rax" if may_be(Protocol::Multiboot) => Some((
            "protocol",
            "for a Multiboot kernel, the number that it knows its loader by",
        )),
        "gdtr" if may_be(Protocol::Linux32) || may_be(Protocol::Linux64) => {
            Some(("protocol", "for Linux, the loader's table of segments"))
        }
        "cr0" | "cr3" | "cr4" | "efer" if !vm.npt => {
            Some(("npt", "shadow paging's, behind the guest's own"))
        }
        "cr3" if protocol == Some(Protocol::Linux64) => {
            Some(("protocol", "the loader's page tables"))
        }
        _ => None,
    }
}

/// How the VM's kernel is started, unless only its file tells.
fn protocol(vm: &Vm) -> Option<Protocol> {
    match (vm.protocol, &vm.image) {
        (Protocol::Auto, Image::Guest) => Some(Protocol::Multiboot),
        // No other kernel is given one.
        (Protocol::Auto, _) if vm.initrd.is_some() => Some(Protocol::Linux32),
        (Protocol::Auto, _) if !vm.modules.is_empty() => Some(Protocol::Multiboot),
        (Protocol::Auto, Image::File(_)) => None,
        (protocol, _) => Some(protocol),
    }
}

/// The VMCBs that a VM may start with: where the kernel's file decides, more than one.
fn starts(vm: &Vm) -> Vec<Vmcb> {
    let start = |begin: &dyn Fn(&mut Save)| {
        let mut vmcb = Vmcb::zeroed();
        begin(&mut vmcb.save);
        vmcb
    };
    let multiboot = || start(&|save| start::protected(save, Selectors::MULTIBOOT));
    let linux = || start(&|save| start::protected(save, Selectors::LINUX));
    match protocol(vm) {
        Some(Protocol::Linux32) => vec![linux()],
        Some(Protocol::Linux64) => vec![start(&|save| start::long(save, Selectors::LINUX, 0))],
        Some(Protocol::Multiboot | Protocol::Coreboot) => vec![multiboot()],
        Some(Protocol::Auto) | None => vec![multiboot(), linux()],
    }
}

/// What a field holds, as a number.
fn number(vmcb: &Vmcb, field: &Field) -> u128 {
    let bytes = vmcb.bytes().get(field.offset..field.offset + field.bytes);
    let bytes = bytes.filter(|bytes| bytes.len() <= 16).unwrap_or_default();
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u128::from(*byte))
}

/// The bits of a value by their names.
fn words(field: &Field, value: u128) -> String {
    let rows = tiled(field.named_bits(), field.bytes * 8);
    let words: Vec<String> = decode::cut(&rows, field.bytes, value)
        .into_iter()
        .filter(|part| part.value != 0)
        .filter_map(|part| {
            let name = part.name?;
            Some(match part.stands_for {
                Some(stands_for) => format!("{name} {stands_for}"),
                None if part.high == part.low => name.to_owned(),
                None => format!("{name} {:#x}", part.value),
            })
        })
        .collect();
    if words.is_empty() {
        "as after a reset".to_owned()
    } else {
        words.join(", ")
    }
}

fn at_run_time(field: &'static str, parts: Vec<PartView>) -> ValueView {
    ValueView {
        field,
        value: None,
        parts,
    }
}

fn ports(rules: &[IoRule]) -> Vec<PartView> {
    let open = rules.iter().filter(|rule| rule.action == IoAction::Pass);
    let open = open.map(|rule| {
        let what = if rule.first == rule.last {
            format!("open: port {:#x}", rule.first)
        } else {
            format!("open: ports {:#x}-{:#x}", rule.first, rule.last)
        };
        part(what, Some(&rule.origin), VMM)
    });
    let map = "the VM's map of ports: each access exits unless its port is open";
    std::iter::once(part(map.to_owned(), None, VMM))
        .chain(open)
        .collect()
}

fn msrs(rules: &[MsrRule]) -> Vec<PartView> {
    let said = rules.iter().map(|rule| {
        let name = |number| {
            msr_by_number(number).map_or_else(|| format!("{number:#x}"), |msr| msr.name.to_owned())
        };
        let mut what = name(rule.first);
        if rule.first != rule.last {
            what = format!("{what} to {}", name(rule.last));
        }
        let (read, write) = (rule.read.name(), rule.write.name());
        part(
            format!("{what}: read {read}, write {write}"),
            Some(&rule.origin),
            VMM,
        )
    });
    let map = "the VM's map of MSRs: each access exits, but of what VMLOAD and VMSAVE carry, and \
               what passes";
    std::iter::once(part(map.to_owned(), None, VMM))
        .chain(said)
        .collect()
}
