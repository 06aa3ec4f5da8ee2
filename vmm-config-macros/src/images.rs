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
