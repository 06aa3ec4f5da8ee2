//! Port, MSR and CPUID rules.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use vmm_config::lowered::{CpuidRule, IoRule, MsrRule};

use super::variant;

/// A number as the manuals write it.
pub(super) fn hex(number: u64) -> Literal {
    // "0x" and digits are always a literal.
    format!("{number:#x}")
        .parse()
        .unwrap_or_else(|_| Literal::u64_unsuffixed(number))
}

/// A number for people.
pub(super) fn decimal(number: impl Into<u64>) -> Literal {
    Literal::u64_unsuffixed(number.into())
}

pub(super) fn io(rule: &IoRule) -> TokenStream {
    let (first, last) = (hex(rule.first.into()), hex(rule.last.into()));
    let action = variant(rule.action);
    quote! {
        policy::IoRule { first: #first, last: #last, action: policy::IoAction::#action }
    }
}

pub(super) fn msr(rule: &MsrRule) -> TokenStream {
    let (first, last) = (hex(rule.first.into()), hex(rule.last.into()));
    let read = variant(rule.read);
    let write = variant(rule.write);
    quote! {
        policy::MsrRule {
            first: #first,
            last: #last,
            read: policy::MsrAction::#read,
            write: policy::MsrAction::#write,
        }
    }
}

pub(super) fn cpuid(rule: &CpuidRule) -> TokenStream {
    let registers = |registers: [u32; 4]| {
        let registers = registers.map(|register| hex(register.into()));
        quote! { [#(#registers),*] }
    };
    let (leaf, subleaf) = (hex(rule.leaf.leaf.into()), hex(rule.leaf.subleaf.into()));
    let (keep, host, set) = (
        registers(rule.keep),
        registers(rule.host),
        registers(rule.set),
    );
    quote! {
        policy::CpuidRule {
            leaf: #leaf,
            subleaf: #subleaf,
            keep: #keep,
            host: #host,
            set: #set,
        }
    }
}
