//! The proc-macro that turns a checked policy into the VMM's static tables.
//!
//! Thin on purpose: which policies are legal and what they mean is decided in `vmm-config`,
//! and what Rust they become in `vmm-config-emit`. Here are only the place of the file
//! (`locate`), the images that go into the binary (`images`), and the way a finding reaches
//! the compiler's output (`refuse`).

mod images;
mod locate;
mod refuse;

use proc_macro::TokenStream;

use locate::Workspace;

/// The policy as `POLICY`, a static of type `vmm_core::policy::Policy`.
///
/// The file is the one that the environment variable `VM_CONFIG` names by an absolute path,
/// else `vm.toml` in the folder above the package. A policy that breaks a rule does not
/// compile: each finding is an error of its own.
#[proc_macro]
pub fn policy(_input: TokenStream) -> TokenStream {
    let workspace = Workspace::from_env();
    let tracking = workspace.tracking();
    let tokens = match workspace.load() {
        Ok(lowered) => vmm_config_emit::policy(&lowered),
        Err(report) => refuse::findings(&report),
    };
    quote::quote! { #tracking #tokens }.into()
}

/// The images that the policy's VMs boot, an `Option<&'static [u8]>` for each VM.
///
/// `image = "guest"` is the file that the environment variable `TOLLGATE_GUEST` names by an
/// absolute path; a path is relative to the policy's folder.
#[proc_macro]
pub fn images(_input: TokenStream) -> TokenStream {
    let workspace = Workspace::from_env();
    let tracking = workspace.tracking();
    let tokens = match workspace.load() {
        Ok(lowered) => images::images(&lowered, &workspace),
        Err(report) => {
            let errors = refuse::findings(&report);
            quote::quote! { #errors &[] }
        }
    };
    quote::quote! { { #tracking #tokens } }.into()
}
