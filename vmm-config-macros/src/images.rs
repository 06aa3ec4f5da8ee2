//! The images that the VMs boot, linked into the binary.

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::quote;
use vmm_config::Lowered;
use vmm_config::written::Image;

use crate::locate::Workspace;
use crate::refuse;

/// An expression of type `&'static [Option<&'static [u8]>]`, an image for each VM.
pub(crate) fn images(lowered: &Lowered, workspace: &Workspace) -> TokenStream {
    let images = lowered.vms.iter().map(|vm| match &vm.image {
        Image::Guest => guest(workspace.guest.as_deref()),
        Image::Path(path) => file(workspace.folder().join(path)),
    });
    quote! {
        const _: ::core::option::Option<&str> = ::core::option_env!("TOLLGATE_GUEST");
        static IMAGES: &[::core::option::Option<&[u8]>] = &[#(#images),*];
        IMAGES
    }
}

fn guest(path: Option<&Path>) -> TokenStream {
    match path {
        Some(path) => file(path.to_owned()),
        None => {
            let error = refuse::message(
                "`image = \"guest\"` needs the guest kernel, and the environment variable \
                 TOLLGATE_GUEST does not name one\n\
                 `cargo run-qemu` builds both; `cargo vmm build` does without booting them",
            );
            quote! { { #error ::core::option::Option::None } }
        }
    }
}

fn file(path: PathBuf) -> TokenStream {
    match path.to_str() {
        Some(path) => quote! { ::core::option::Option::Some(::core::include_bytes!(#path)) },
        None => {
            let error = refuse::message(&format!(
                "the path {path:?} is not UTF-8; move the file to one that is"
            ));
            quote! { { #error ::core::option::Option::None } }
        }
    }
}

#[cfg(test)]
mod tests {
    use vmm_config::{Handlers, Source};

    use super::*;

    /// The images of a VM that boots the workspace's kernel and one that boots a file.
    fn generated(guest: Option<&str>) -> String {
        let text = "[[vm]]\nname = \"one\"\nmemory = \"8 MiB\"\nintercepts = []\n\
                    [[vm]]\nname = \"two\"\nmemory = \"8 MiB\"\nintercepts = []\n\
                    image = \"kernels/two.elf\"\n";
        let lowered =
            vmm_config::policy(Source::new("vm.toml", text), &Handlers::Unknown, None).unwrap();
        let workspace = Workspace::of("/policies/vm.toml", guest);
        let images = images(&lowered, &workspace);
        let file =
            syn::parse_quote! { fn images() -> &'static [Option<&'static [u8]>] { #images } };
        prettyplease::unparse(&file)
    }

    #[test]
    fn each_vm_has_its_image_by_an_absolute_path() {
        let code = generated(Some("/build/guest/kernel"));
        assert!(
            code.contains(r#"include_bytes!("/build/guest/kernel")"#),
            "{code}"
        );
        assert!(
            code.contains(r#"include_bytes!("/policies/kernels/two.elf")"#),
            "{code}"
        );
    }

    #[test]
    fn a_guest_that_was_not_built_is_an_error_that_names_the_command() {
        let code = generated(None);
        assert!(code.contains("compile_error!"), "{code}");
        assert!(code.contains("cargo run-qemu"), "{code}");
    }

    #[test]
    fn a_change_of_the_guests_place_is_noticed() {
        assert!(generated(None).contains(r#"option_env!("TOLLGATE_GUEST")"#));
    }
}
