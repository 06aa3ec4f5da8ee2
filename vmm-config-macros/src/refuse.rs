//! A policy that is refused, as compiler errors.

use proc_macro2::TokenStream;
use quote::quote;
use vmm_config::{Report, Severity};

/// One `compile_error!` for each error of the report, with its picture.
pub(crate) fn findings(report: &Report) -> TokenStream {
    let errors = report
        .findings
        .iter()
        .zip(report.pictures(false))
        .filter(|(finding, _)| finding.severity == Severity::Error)
        .map(|(_, picture)| message(&picture));
    quote! { #(#errors)* }
}

/// An error of its own. The compiler writes `error: ` before it.
pub(crate) fn message(picture: &str) -> TokenStream {
    let text = picture.strip_prefix("error: ").unwrap_or(picture);
    quote! { ::core::compile_error!(#text); }
}
