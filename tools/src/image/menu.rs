//! What can be booted from a disc, and GRUB's words for it.

use std::fmt::Write;

/// One thing to boot. Paths are those on the disc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the menu calls it.
    pub title: String,
    /// What it starts.
    pub start: Start,
}

/// What an entry starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The VMM, with a policy inside.
    Vmm {
        /// Its file.
        kernel: String,
        /// Its command line.
        words: String,
        /// Files beside it, and the words that each is told.
        modules: Vec<(String, String)>,
    },
    /// The guest kernel on the machine itself. It knows nothing but a PC with a BIOS.
    BareGuest {
        /// Its file.
        kernel: String,
    },
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// The first is started where nobody chooses.
    pub entries: Vec<Entry>,
    /// How long it waits for a person; none: it is not shown at all.
    pub wait_seconds: Option<u32>,
}

impl Menu {
    /// GRUB's configuration file.
    ///
    /// Where there is a serial port, GRUB speaks on it too, so that a machine without a screen
    /// can be booted. BIOS starts the VMM by Multiboot 1, and UEFI by Multiboot 2, which alone
    /// passes the firmware's memory map and framebuffer on.
    pub fn grub_cfg(&self) -> String {
        let mut text = String::from("if serial --unit=0 --speed=115200; then\n");
        if self.wait_seconds.is_none() {
            // Nobody looks at a menu, and what clears the screen would clear a person's terminal.
            text.push_str("  terminfo serial dumb\n");
        }
        text.push_str("  terminal_input console serial\n  terminal_output console serial\nfi\n");
        let wait = self.wait_seconds.unwrap_or(0);
        let _ = write!(
            text,
            "set timeout={wait}\nset default=0\nset gfxpayload=auto\n"
        );
        for entry in &self.entries {
            let title = quoted(&entry.title);
            let _ = match &entry.start {
                Start::Vmm {
                    kernel,
                    words,
                    modules,
                } => {
                    let kernel = format!("{kernel} {words}");
                    let kernel = kernel.trim_end();
                    let lines = |command: &str| {
                        modules.iter().fold(String::new(), |lines, (file, words)| {
                            format!("{lines}    {command} {file} {file} {}\n", quoted(words))
                        })
                    };
                    write!(
                        text,
                        "menuentry {title} {{\n\
                         \x20 if [ \"$grub_platform\" = efi ]; then\n\
                         \x20   multiboot2 {kernel}\n{}\
                         \x20 else\n\
                         \x20   multiboot {kernel}\n{}\
                         \x20 fi\n}}\n",
                        lines("module2"),
                        lines("module"),
                    )
                }
                Start::BareGuest { kernel } => write!(
                    text,
                    "if [ \"$grub_platform\" != efi ]; then\n\
                     \x20 menuentry {title} {{\n\
                     \x20   multiboot {kernel}\n\
                     \x20 }}\nfi\n"
                ),
            };
        }
        text
    }
}

/// One word for GRUB's shell. Quotes end at a quote, so a quote within stands outside them.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(title: &str, wait_seconds: Option<u32>) -> String {
        let start = Start::Vmm {
            kernel: "/boot/vmm".into(),
            words: "counters=times".into(),
            modules: vec![("/boot/guest".into(), "image=demo".into())],
        };
        let entries = vec![Entry {
            title: title.into(),
            start,
        }];
        Menu {
            entries,
            wait_seconds,
        }
        .grub_cfg()
    }

    #[test]
    fn each_firmware_loads_kernel_and_modules_by_the_protocol_that_it_needs() {
        let text = menu("vm", Some(3));
        for line in [
            "multiboot2 /boot/vmm counters=times\n    module2 /boot/guest /boot/guest 'image=demo'\n",
            "multiboot /boot/vmm counters=times\n    module /boot/guest /boot/guest 'image=demo'\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_title_with_a_quote_stays_one_word() {
        let text = menu("it's {$x}", None);
        assert!(text.contains(r"menuentry 'it'\''s {$x}' {"), "{text}");
    }

    #[test]
    fn a_menu_that_nobody_sees_waits_for_nobody_and_clears_no_screen() {
        let text = menu("vm", None);
        assert!(text.contains("timeout=0") && text.contains("terminfo serial dumb"));
        assert!(!menu("vm", Some(3)).contains("dumb"));
    }
}
