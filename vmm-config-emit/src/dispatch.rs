//! A VM's dispatch table, and the functions that it needs beyond those of `vmm_core::exits`.

use intercepts::Exit;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use vmm_config::lowered::{Gate, Handler, Vm};

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
    gate.log || matches!(gate.handler, Handler::Inject { .. })
}

fn function_name(index: usize, exit: &Exit) -> Ident {
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

/// The function of a gate that logs first, or that injects an exception of its own.
fn function(index: usize, gate: &Gate) -> Option<TokenStream> {
    if !has_function(gate) {
        return None;
    }
    let name = function_name(index, gate.exit);
    let log = gate.log.then(|| quote! { exits::log::entry(vcpu, vm); });
    let path = path(&gate.handler);
    let more = match gate.handler {
        Handler::Inject { vector, error } => {
            let error = match error {
                Some(error) => quote! { Some(#error) },
                None => quote! { None },
            };
            quote! { , #vector, #error }
        }
        _ => TokenStream::new(),
    };
    Some(quote! {
        fn #name(vcpu: &mut ::vmm_core::vm::Vcpu, vm: &mut ::vmm_core::vm::Vm) -> exits::Outcome {
            #log
            #path(vcpu, vm #more)
        }
    })
}
