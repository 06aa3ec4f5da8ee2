//! The images that the VMs boot, linked into the binary.

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::quote;
use vmm_config::Lowered;
use vmm_config::written::Image;

use crate::locate::Workspace;
use crate::refuse;

/// An expression of type `&'static [Option<&'static [u8]>]`, an image for each VM; `None` for
/// one that travels beside the VMM.
pub(crate) fn images(lowered: &Lowered, workspace: &Workspace) -> TokenStream {
    let images = lowered.vms.iter().map(|vm| match &vm.image {
        Image::Guest => guest(workspace.guest.as_deref()),
        Image::File(_) => match vm.image.linked(workspace.folder()) {
            Some(path) => file(path),
            None => quote! { ::core::option::Option::None },
        },
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

    /// The images of a VM that boots the workspace's kernel, and of others that boot a small
    /// file, a large one, and one that the tools fetch.
    fn generated(folder: &Path, guest: Option<&str>) -> String {
        let vm = "memory = \"8 MiB\"\nintercepts = []\n";
        let mut text = format!("[[vm]]\nname = \"one\"\n{vm}");
        for (name, image) in [
            ("two", "./small"),
            ("three", "./large"),
            ("four", "debian:grub"),
        ] {
            text += &format!("[[vm]]\nname = \"{name}\"\n{vm}image = \"{image}\"\n");
        }
        let lowered =
            vmm_config::policy(Source::new("vm.toml", &text), &Handlers::Unknown, None).unwrap();
        let policy = folder.join("vm.toml");
        let workspace = Workspace::of(policy.to_str().unwrap(), guest);
        let images = images(&lowered, &workspace);
        let file =
            syn::parse_quote! { fn images() -> &'static [Option<&'static [u8]>] { #images } };
        prettyplease::unparse(&file)
    }

    #[test]
    fn a_small_image_is_linked_by_an_absolute_path_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("small"), "kernel").unwrap();
        let large = std::fs::File::create(folder.path().join("large")).unwrap();
        large.set_len(2 << 20).unwrap();
        let code = generated(folder.path(), Some("/build/guest/kernel"));
        assert!(
            code.contains(r#"include_bytes!("/build/guest/kernel")"#),
            "{code}"
        );
        let small = folder.path().join("./small");
        let small = format!("include_bytes!({:?})", small.to_str().unwrap());
        assert!(code.contains(&small), "{code}");
        assert_eq!(code.matches("include_bytes").count(), 2, "{code}");
        assert_eq!(code.matches("Option::None").count(), 2, "{code}");
    }

    #[test]
    fn a_guest_that_was_not_built_is_an_error_that_names_the_command() {
        let code = generated(Path::new("/nowhere"), None);
        assert!(code.contains("compile_error!"), "{code}");
        assert!(code.contains("cargo run-qemu"), "{code}");
    }

    #[test]
    fn a_change_of_the_guests_place_is_noticed() {
        assert!(
            generated(Path::new("/nowhere"), None).contains(r#"option_env!("TOLLGATE_GUEST")"#)
        );
    }
}
