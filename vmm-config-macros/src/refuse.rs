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

#[cfg(test)]
mod tests {
    use vmm_config::{Handlers, Source};

    use super::*;

    #[test]
    fn each_error_is_its_own_with_the_picture_that_the_tools_show() {
        let text = "[set.base]\ncr3.wrte = \"count\"\nrdtscp = \"count\"\n\
                    [[vm]]\nname = \"demo\"\nmemory = \"64 MB\"\nintercepts = \"base\"\n";
        let report =
            vmm_config::policy(Source::new("vm.toml", text), &Handlers::Unknown, None).unwrap_err();
        let file: syn::File = syn::parse2(findings(&report)).unwrap();
        let texts: Vec<String> = file
            .items
            .into_iter()
            .filter_map(|item| match item {
                syn::Item::Macro(item) => item.mac.parse_body::<syn::LitStr>().ok(),
                _ => None,
            })
            .map(|text| format!("error: {}", text.value()))
            .collect();
        let pictures: Vec<_> = report
            .pictures(false)
            .filter(|picture| picture.starts_with("error"))
            .collect();
        assert_eq!(texts, pictures);
        assert_eq!(texts.len(), 2, "the warning is none of them");
    }
}
