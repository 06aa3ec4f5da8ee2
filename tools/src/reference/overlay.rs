//! What a policy makes of a VMCB: the values of fields, the lines that set them, and what handles
//! each exit.

mod start;

use intercepts::{VECTORS, vmcb};
use schemars::JsonSchema;
use serde::Serialize;
use vmm_config::Lowered;
use vmm_config::lowered::{FieldValue, Gate, Handler, Origin, Vm};

use super::rows::{code, hex, owner};

/// A policy laid over the reference.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PolicyView {
    /// The policy's file.
    pub file: String,
    /// Its VMs.
    pub vms: Vec<VmView>,
}

/// One VM of a policy.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VmView {
    /// Its name.
    pub name: String,
    /// The fields that are not zero at the VM's first VMRUN.
    pub fields: Vec<ValueView>,
    /// The exits that are handled.
    pub exits: Vec<GateView>,
}

/// The value of a field, and why.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ValueView {
    /// The field.
    pub field: &'static str,
    /// Its value then; none where only the running VMM knows it.
    pub value: Option<String>,
    /// What makes up the value.
    pub parts: Vec<PartView>,
}

/// Something that a field holds, and where it is said.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartView {
    /// In words.
    pub what: String,
    /// The line of the policy; none for what holds unasked.
    pub line: Option<usize>,
    /// What stands on that line, or who else decides.
    pub text: String,
}

/// An exit, and what handles it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GateView {
    /// The exit's name.
    pub exit: &'static str,
    /// Its code.
    pub code: String,
    /// The function that handles it, or the exception that is injected.
    pub handler: String,
    /// The line of the policy; none for a default of the VMM.
    pub line: Option<usize>,
    /// What stands on that line, or who else decides.
    pub text: String,
}

/// Lays a policy over the reference.
pub fn view(policy: &Lowered) -> PolicyView {
    PolicyView {
        file: policy.source.name.to_string(),
        vms: policy.vms.iter().map(vm).collect(),
    }
}

fn vm(vm: &Vm) -> VmView {
    let mut fields: Vec<ValueView> = vm.vmcb.iter().map(|field| value(vm, field)).collect();
    fields.extend(start::values(vm));
    fields.sort_by_key(|value| vmcb::field(value.field).map(|field| field.offset));
    VmView {
        name: vm.name.clone(),
        fields,
        exits: vm.gates.iter().map(gate).collect(),
    }
}

/// The value of a field that the policy decides.
fn value(vm: &Vm, field: &FieldValue) -> ValueView {
    let said = |key| vm.origins.get(key);
    let plain = match field.field.name {
        "guest_asid" => Some((field.value.to_string(), said("asid"))),
        "tsc_offset" => Some((format!("{} ticks", vm.tsc_offset), said("tsc_offset"))),
        "nested_control" => Some(("NP_ENABLE".to_owned(), said("npt"))),
        "pause_filter_count" => Some((format!("{} PAUSEs", field.value), filter(vm))),
        "pause_filter_threshold" => Some((format!("{} cycles", field.value), filter(vm))),
        _ => None,
    };
    let mut parts: Vec<PartView> = field
        .intercepts
        .iter()
        .map(|bit| {
            let gate = vm.gates.iter().find(|gate| gate.exit.code == bit.exit.code);
            let origin = gate.and_then(|gate| gate.origin.as_ref());
            part(
                format!("bit {}: {}", bit.bit, bit.exit.name),
                origin,
                owner(bit.exit.owner),
            )
        })
        .collect();
    parts.extend(plain.map(|(what, origin)| part(what, origin, "by default")));
    ValueView {
        field: field.field.name,
        value: Some(hex(field.value.into(), field.field.bytes)),
        parts,
    }
}

/// Where the filter of PAUSE is said.
fn filter(vm: &Vm) -> Option<&Origin> {
    let gate = vm.gates.iter().find(|gate| gate.filter.is_some());
    gate.and_then(|gate| gate.origin.as_ref())
}

fn part(what: String, origin: Option<&Origin>, unasked: &str) -> PartView {
    PartView {
        what,
        line: origin.map(|origin| origin.line),
        text: origin.map_or_else(|| unasked.to_owned(), |origin| origin.text.to_string()),
    }
}

fn gate(gate: &Gate) -> GateView {
    let mut handlers: Vec<String> = gate.rules.iter().map(|rule| name(&rule.handler)).collect();
    handlers.push(name(&gate.handler));
    handlers.dedup();
    let origin = gate.origin.as_ref();
    GateView {
        exit: gate.exit.name,
        code: code(gate.exit),
        handler: handlers.join(", else "),
        line: origin.map(|origin| origin.line),
        text: origin.map_or_else(
            || owner(gate.exit.owner).to_owned(),
            |origin| origin.text.to_string(),
        ),
    }
}

/// What handles an exit, as its path in the source.
fn name(handler: &Handler) -> String {
    match handler {
        Handler::Vmm { module, function } => format!("exits::{module}::{function}"),
        Handler::User(name) => format!("handlers::{name}"),
        Handler::Inject { vector, error } => {
            let mnemonic = VECTORS
                .get(usize::from(*vector))
                .map_or("an exception", |(_, mnemonic)| mnemonic);
            error.map_or_else(
                || format!("injects {mnemonic}"),
                |error| format!("injects {mnemonic}({error:#x})"),
            )
        }
    }
}
