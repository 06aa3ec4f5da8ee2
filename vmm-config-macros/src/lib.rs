//! The proc-macro that turns a checked policy into the VMM's static tables.
//!
//! Thin on purpose: which policies are legal and what they mean is decided in `vmm-config`,
//! and what Rust they become in `vmm-config-emit`. Here are only the place of the file
//! (`locate`), the images that go into the binary (`images`), and the way a finding reaches
//! the compiler's output (`refuse`).

#[cfg(test)]
#[path = "../../vmm-config/tests/change/mod.rs"]
mod change;
mod images;
mod locate;
mod refuse;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use quote::quote;

use locate::Workspace;

/// The policy as `POLICY`, a static of type `vmm_core::policy::Policy`.
///
/// The file is the one that the environment variable `VM_CONFIG` names by an absolute path,
/// else `vm.toml` in the folder above the package. A policy that breaks a rule does not
/// compile: each finding is an error of its own.
#[proc_macro]
pub fn policy(_input: TokenStream) -> TokenStream {
    policy_of(&Workspace::from_env()).into()
}

fn policy_of(workspace: &Workspace) -> TokenStream2 {
    let tracking = workspace.tracking();
    let tokens = match workspace.load() {
        Ok(lowered) => vmm_config_emit::policy(&lowered),
        Err(report) => refuse::findings(&report),
    };
    quote! { #tracking #tokens }
}

/// The images that the policy's VMs boot, an `Option<&'static [u8]>` for each VM.
///
/// `image = "guest"` is the file that the environment variable `TOLLGATE_GUEST` names by an
/// absolute path; a path is relative to the policy's folder.
#[proc_macro]
pub fn images(_input: TokenStream) -> TokenStream {
    images_of(&Workspace::from_env()).into()
}

fn images_of(workspace: &Workspace) -> TokenStream2 {
    let tracking = workspace.tracking();
    let tokens = match workspace.load() {
        Ok(lowered) => images::images(&lowered, workspace),
        Err(report) => {
            let errors = refuse::findings(&report);
            quote! { #errors &[] }
        }
    };
    quote! { { #tracking #tokens } }
}

#[cfg(test)]
mod tests {
    use super::change::{GOOD, apply, change};
    use super::*;
    use proptest::prelude::*;

    /// Fails unless both macros make Rust of a file with these bytes.
    fn becomes_rust(bytes: &[u8]) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("vm.toml");
        std::fs::write(&file, bytes).expect("a policy");
        let workspace = Workspace::of(file.to_str().expect("a path"), None);
        syn::parse2::<syn::File>(policy_of(&workspace)).expect("items");
        syn::parse2::<syn::Block>(images_of(&workspace)).expect("a block");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_bytes_become_rust(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            becomes_rust(&bytes);
        }

        #[test]
        fn a_policy_with_any_bytes_in_it_becomes_rust(
            good in prop::sample::select(&GOOD[..]),
            changes in prop::collection::vec(change(), 1..4),
        ) {
            let mut bytes = good.as_bytes().to_vec();
            for change in &changes {
                apply(&mut bytes, change);
            }
            becomes_rust(&bytes);
        }
    }
}
