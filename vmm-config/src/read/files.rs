//! What a VM boots from: `image`, `initrd`, `modules`.

use super::reader::{Reader, Value};
use crate::finding::Draft;
use crate::near;
use crate::rules;
use crate::source::{At, Span};
use crate::words::{Debian, Word};
use crate::written::{File, Image, Module};

/// What stands before the name of a file that comes out of a Debian package.
pub(crate) const DEBIAN: &str = "debian:";

impl Reader<'_, '_> {
    pub(super) fn image(&mut self, value: &Value<'_>) -> Option<At<Image>> {
        let image = self.text(value, "\"guest\"")?;
        if image.value == "guest" {
            return Some(At::new(Image::Guest, image.span));
        }
        if near::nearest(image.value, ["guest"]).is_some() {
            self.no_file(image.value, image.span, "an image")
                .help("did you mean `guest`?");
            return None;
        }
        let file = self.file_of(image.value, image.span, "an image")?;
        Some(At::new(Image::File(file), image.span))
    }

    pub(super) fn initrd(&mut self, value: &Value<'_>) -> Option<At<File>> {
        let text = self.text(value, "\"./initrd.img\"")?;
        let file = self.file_of(text.value, text.span, "an initial file system")?;
        Some(At::new(file, text.span))
    }

    /// Each module is a path and words, as a boot loader's menu has them.
    pub(super) fn modules(&mut self, value: &Value<'_>) -> Vec<At<Module>> {
        let mut modules = Vec::new();
        for text in self.texts(value, "[\"./module words\"]") {
            let path = text.value.split(' ').next().unwrap_or_default();
            let Some(file) = self.file_of(path, text.span, "a module") else {
                continue;
            };
            if !is_line(text.value) {
                self.found
                    .add(
                        &rules::CMDLINE,
                        text.span,
                        "this cannot be the string of a module",
                    )
                    .help("write the path, then words separated by spaces");
                continue;
            }
            let string = text.value.to_owned();
            modules.push(At::new(Module { file, string }, text.span));
        }
        modules
    }

    pub(super) fn cmdline(&mut self, value: &Value<'_>) -> Option<String> {
        let text = self.text(value, "\"demo\"")?;
        if !is_line(text.value) {
            self.found
                .add(
                    &rules::CMDLINE,
                    text.span,
                    "this cannot be a kernel command line",
                )
                .help("write words separated by spaces");
            return None;
        }
        Some(text.value.to_owned())
    }

    fn file_of(&mut self, text: &str, span: Span, what: &str) -> Option<File> {
        if let Some(name) = text.strip_prefix(DEBIAN) {
            let known = Debian::by_name(name);
            if known.is_none() {
                let names: Vec<_> = Debian::ALL.iter().map(|file| file.name()).collect();
                let name = At::new(name, span);
                self.unknown(&rules::UNKNOWN_DEBIAN, name, Debian::WHAT, &names);
            }
            return known.map(File::Debian);
        }
        if text.contains('/') && !text.contains('\0') {
            return Some(File::Path(text.to_owned()));
        }
        self.no_file(text, span, what).help(format!(
            "for a file beside the policy write `./{}`",
            text.escape_debug()
        ));
        None
    }

    fn no_file(&mut self, text: &str, span: Span, what: &str) -> Draft<'_, '_> {
        self.found.add(
            &rules::IMAGE,
            span,
            format!("`{}` is not {what}", text.escape_debug()),
        )
    }
}

/// Whether a text can go to a kernel as one line.
fn is_line(text: &str) -> bool {
    text.len() <= 1024 && text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}
