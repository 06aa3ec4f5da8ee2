//! The policy's part of a VM's VMCB, field by field.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use vmm_config::lowered::{FieldValue, InterceptBit, Vm};

use super::rules::hex;

pub(super) fn name(index: usize) -> Ident {
    format_ident!("vm{index}_vmcb")
}

/// The function that writes the fields into a control area of zeroes.
pub(super) fn init(index: usize, vm: &Vm) -> TokenStream {
    let name = name(index);
    let constants = vm
        .vmcb
        .iter()
        .flat_map(|field| field.intercepts.iter().map(|bit| constant(field, bit)));
    let fields = vm.vmcb.iter().map(assignment);
    quote! {
        fn #name(control: &mut Control) {
            #(#constants)*
            #(#fields)*
        }
    }
}

/// `const CPUID: u32 = 1 << 18;`
fn constant(field: &FieldValue, bit: &InterceptBit) -> TokenStream {
    let name = constant_name(bit);
    let word = format_ident!("u{}", field.field.bytes * 8);
    let bit = proc_macro2::Literal::u8_unsuffixed(bit.bit);
    quote! { const #name: #word = 1 << #bit; }
}

/// `control.intercept_misc1 = CPUID | HLT;`
fn assignment(field: &FieldValue) -> TokenStream {
    let name = format_ident!("{}", field.field.name);
    let value = if field.intercepts.is_empty() {
        let value = hex(field.value);
        quote! { #value }
    } else {
        let constants = field.intercepts.iter().map(constant_name);
        quote! { #(#constants)|* }
    };
    quote! { control.#name = #value; }
}

pub(super) fn constant_name(bit: &InterceptBit) -> Ident {
    format_ident!("{}", bit.exit.name.to_uppercase().replace(['.', '-'], "_"))
}
