//! What each VM boots from: files linked into the VMM, or brought by the boot loader.
//!
//! A boot module's string says whose it is: `FILE image=NAME`, `FILE initrd=NAME`, and for a
//! kernel's own modules `FILE module=NAME`, in their order. A module goes before a linked file.

use heapless::Vec;

use crate::host::multiboot::{self, MAX_MODULES};
use crate::policy::VmPolicy;
use crate::vm::create::NotThere;
use crate::vm::loader::Module;

/// A VM's files, which stay in memory for as often as it starts.
#[derive(Clone)]
pub(super) struct Files {
    pub image: &'static [u8],
    pub initrd: Option<&'static [u8]>,
    pub modules: Vec<Module<'static>, MAX_MODULES>,
}

impl Files {
    /// Finds the files that `policy` asks for.
    ///
    /// # Errors
    /// The first that is neither linked nor among the boot modules.
    pub fn find(
        policy: &VmPolicy,
        linked: Option<&'static [u8]>,
        boot_modules: &[multiboot::Module],
    ) -> Result<Files, NotThere> {
        let of = |word: &'static str| {
            boot_modules
                .iter()
                .filter(move |module| is_for(&module.string, word, policy.name))
                .map(bytes)
        };
        let image = of("image").next().or(linked).ok_or(NotThere("image"))?;
        let initrd = of("initrd").next();
        if policy.initrd && initrd.is_none() {
            return Err(NotThere("initrd"));
        }
        let modules: Vec<_, MAX_MODULES> = of("module")
            .zip(policy.modules)
            .map(|(bytes, string)| Module { bytes, string })
            .collect();
        if modules.len() != policy.modules.len() {
            return Err(NotThere("module"));
        }
        Ok(Files {
            image,
            initrd,
            modules,
        })
    }
}

/// Whether one of the words behind the file's name is `word=name`.
fn is_for(string: &str, word: &str, name: &str) -> bool {
    string
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|given| given.split_once('='))
        .any(|given| given == (word, name))
}

fn bytes(module: &multiboot::Module) -> &'static [u8] {
    let span = module.span;
    // SAFETY: the boot loader put the module there, the frame allocator keeps it out of
    // everyone's hands, and it is mapped one to one.
    unsafe { core::slice::from_raw_parts(span.start.0 as *const u8, span.bytes() as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_for_the_vm_that_a_word_behind_its_name_says() {
        assert!(is_for("/boot/file image=demo", "image", "demo"));
        assert!(is_for("file initrd=a image=b", "image", "b"));
        assert!(
            !is_for("image=demo", "image", "demo"),
            "this is a file's name"
        );
        assert!(!is_for("file image=demo2", "image", "demo"));
        assert!(!is_for("file initrd=demo", "image", "demo"));
    }
}
