//! A VM's dispatch table, and the functions that it needs beyond those of `vmm_core::exits`.

use intercepts::Exit;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use vmm_config::lowered::{Gate, Handler, Vm};
use vmm_config::words::{Test, Then, Word};
use vmm_config::written::Condition;

use super::rules::{decimal, hex};
use super::variant;

pub(super) fn name(index: usize) -> Ident {
    format_ident!("VM{index}_DISPATCH")
}

/// The static table, and the functions that are this VM's own.
pub(super) fn table(index: usize, vm: &Vm) -> TokenStream {
    let name = name(index);
    let functions = vm.gates.iter().filter_map(|gate| function(index, gate));
    let entries = vm.gates.iter().map(|gate| {
        let code = variant(gate.exit.code);
        let handler = if has_function(gate) {
            let own = function_name(index, gate.exit);
            quote! { #own }
        } else {
            path(&gate.handler)
        };
        quote! { .with(ExitCode::#code, #handler) }
    });
    quote! {
        static #name: policy::Dispatch = policy::Dispatch::empty() #(#entries)*;
        #(#functions)*
    }
}

/// Whether a gate does more than call a function that exists.
fn has_function(gate: &Gate) -> bool {
    gate.log
        || gate.limit.is_some()
        || !gate.rules.is_empty()
        || matches!(gate.handler, Handler::Inject { .. })
}

pub(super) fn function_name(index: usize, exit: &Exit) -> Ident {
    format_ident!("vm{index}_{}", exit.name.replace(['.', '-'], "_"))
}

fn path(handler: &Handler) -> TokenStream {
    match handler {
        Handler::Vmm { module, function } => {
            let (module, function) = (format_ident!("{module}"), format_ident!("{function}"));
            quote! { exits::#module::#function }
        }
        Handler::Inject { .. } => quote! { exits::inject::exception },
        Handler::User(name) => {
            let name = format_ident!("{name}");
            quote! { crate::handlers::#name }
        }
    }
}

/// The function of a gate that counts, looks at conditions, logs, or injects.
fn function(index: usize, gate: &Gate) -> Option<TokenStream> {
    if !has_function(gate) {
        return None;
    }
    let name = function_name(index, gate.exit);
    let limit = gate
        .limit
        .map(|(exits, then)| limit(gate.exit, exits, then));
    let rules = gate.rules.iter().map(|rule| {
        let conditions = rule
            .conditions
            .iter()
            .map(|condition| holds(gate.exit, *condition));
        let (log, call) = call(&rule.handler, rule.log);
        quote! { if #(#conditions)&&* { #log return #call; } }
    });
    let (log, call) = call(&gate.handler, gate.log);
    Some(quote! {
        fn #name(vcpu: &mut ::vmm_core::vm::Vcpu, vm: &mut ::vmm_core::vm::Vm) -> exits::Outcome {
            #limit
            #(#rules)*
            #log
            #call
        }
    })
}

/// `exits::log::entry(vcpu, vm);`, where it is logged, and `exits::tsc::emulate(vcpu, vm)`.
fn call(handler: &Handler, is_logged: bool) -> (Option<TokenStream>, TokenStream) {
    let log = is_logged.then(|| quote! { exits::log::entry(vcpu, vm); });
    let path = path(handler);
    let more = match *handler {
        Handler::Inject { vector, error } => {
            let error = match error {
                Some(error) => {
                    let error = hex(error.into());
                    quote! { Some(#error) }
                }
                None => quote! { None },
            };
            let vector = decimal(vector);
            quote! { , #vector, #error }
        }
        _ => TokenStream::new(),
    };
    (log, quote! { #path(vcpu, vm #more) })
}

/// What comes after the last exit that is answered.
fn limit(exit: &Exit, exits: u64, then: Then) -> TokenStream {
    let (code, exits) = (variant(exit.code), decimal(exits));
    let end = match then {
        Then::Stop => quote! { exits::limit::stop(vcpu, vm, ExitCode::#code, #exits) },
        Then::Pass => quote! { exits::limit::pass(vcpu, ExitCode::#code) },
    };
    quote! {
        if exits::limit::is_past(vm, ExitCode::#code, #exits) {
            return #end;
        }
    }
}

/// The expression that is true where a condition holds.
fn holds(exit: &Exit, condition: Condition) -> TokenStream {
    let Condition { test, first, last } = condition;
    if test == Test::Write {
        let function = match exit.family {
            "msr" => format_ident!("is_wrmsr"),
            _ => format_ident!("is_out"),
        };
        let not = (last == 0).then(|| quote! { ! });
        return quote! { #not exits::when::#function(vcpu) };
    }
    let function = format_ident!("{}", test.name());
    let (low, high) = (hex(first), hex(last));
    // The vector of INTn stands in the guest's memory only.
    let vm = (test == Test::Int).then(|| quote! { , vm });
    let value = quote! { exits::when::#function(vcpu #vm) };
    if first == last {
        quote! { #value == #low }
    } else {
        quote! { (#low..=#high).contains(&#value) }
    }
}
