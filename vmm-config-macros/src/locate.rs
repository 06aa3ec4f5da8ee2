//! Where the policy and the guest's image are, and how the compiler learns to watch them.

use std::env;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::quote;
use vmm_config::{Lowered, Report};

/// The files that a build of `boot` reads.
pub(crate) struct Workspace {
    /// The policy.
    pub(crate) policy: PathBuf,
    /// The source of the user's own handlers.
    handlers: PathBuf,
    /// The workspace's own guest kernel, if it was built.
    pub(crate) guest: Option<PathBuf>,
}

impl Workspace {
    /// As the environment of the compiler says.
    pub(crate) fn from_env() -> Workspace {
        let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
        let beside = package.parent().unwrap_or(Path::new("")).join("vm.toml");
        Workspace {
            policy: set("VM_CONFIG").unwrap_or(beside),
            handlers: package.join("src/handlers.rs"),
            guest: set("TOLLGATE_GUEST"),
        }
    }

    /// Loads and checks the policy.
    pub(crate) fn load(&self) -> Result<Lowered, Report> {
        vmm_config::load(&self.policy, Some(&self.handlers))
    }

    /// The folder in which the policy's paths start.
    pub(crate) fn folder(&self) -> &Path {
        self.policy.parent().unwrap_or(Path::new(""))
    }

    /// Items that make the compiler run the macro again when the policy or its place changes.
    /// The bytes do not reach the binary.
    pub(crate) fn tracking(&self) -> TokenStream {
        let policy = self.policy.to_str().filter(|_| self.policy.is_file());
        let policy = policy.map(|path| quote! { const _: &[u8] = ::core::include_bytes!(#path); });
        quote! {
            #policy
            const _: ::core::option::Option<&str> = ::core::option_env!("VM_CONFIG");
        }
    }
}

/// An environment variable that is set to something.
fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
impl Workspace {
    /// A workspace with this policy and guest.
    pub(crate) fn of(policy: &str, guest: Option<&str>) -> Workspace {
        Workspace {
            policy: policy.into(),
            handlers: PathBuf::new(),
            guest: guest.map(PathBuf::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_watched_and_so_is_its_place() {
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm.toml");
        let policy = policy.to_str().unwrap();
        let tokens = Workspace::of(policy, None).tracking().to_string();
        assert!(
            tokens.contains(policy) && tokens.contains("VM_CONFIG"),
            "{tokens}"
        );
    }

    #[test]
    fn a_policy_that_is_not_there_is_not_watched() {
        let tokens = Workspace::of("/no/such/vm.toml", None)
            .tracking()
            .to_string();
        assert!(!tokens.contains("include_bytes"), "{tokens}");
        assert!(tokens.contains("VM_CONFIG"), "{tokens}");
    }
}
