//! The command line of `cargo vmcb-docs`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::decode::{self, Subject};
use super::model::Reference;
use super::overlay::PolicyView;
use super::{csv, dump, hexdump, html, markdown, overlay};
use crate::failure::{Doing, Failure, Result, Status};
use crate::policy;
use crate::progress::{produce, say};
use crate::run::options::config_file;
use crate::workspace::Workspace;

/// Writes the reference of SVM with policies laid over it, or reads what a VMCB holds
#[derive(Args, Debug)]
pub struct VmcbDocs {
    /// A policy to lay over it; may be repeated [default: the workspace's vm.toml]
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,

    /// The vocabulary alone, without a policy
    #[arg(long, conflicts_with = "config")]
    bare: bool,

    /// What to write [default: by the ending of -o, else md]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Where to write it; a folder gets every format [default: standard output]
    #[arg(short, long, value_name = "FILE|FOLDER")]
    output: Option<PathBuf>,

    /// Say in words what a VMCB dump (a file, or - for standard input) or values hold
    #[arg(
        long,
        value_name = "FILE|-|FIELD=VALUE",
        num_args = 1..,
        conflicts_with_all = ["format", "output", "config", "bare"],
    )]
    decode: Vec<String>,
}

/// A format of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// A register browser in one file
    Html,
    /// Data, to the schema that `schema` writes
    Json,
    /// One table
    Csv,
    /// The JSON Schema of the data
    Schema,
}

impl Format {
    const ALL: [Format; 5] = [
        Format::Md,
        Format::Html,
        Format::Json,
        Format::Csv,
        Format::Schema,
    ];

    const fn file_name(self) -> &'static str {
        match self {
            Format::Md => "vmcb.md",
            Format::Html => "vmcb.html",
            Format::Json => "vmcb.json",
            Format::Csv => "vmcb.csv",
            Format::Schema => "vmcb.schema.json",
        }
    }

    fn of_file(file: &Path) -> Option<Format> {
        let name = file.file_name()?.to_str()?;
        if name.ends_with(".schema.json") {
            return Some(Format::Schema);
        }
        match file.extension()?.to_str()? {
            "md" => Some(Format::Md),
            "html" | "htm" => Some(Format::Html),
            "json" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            _ => None,
        }
    }

    fn write(self, reference: &Reference) -> Result<String> {
        match self {
            Format::Md => Ok(markdown::Markdown(reference).to_string()),
            Format::Html => html::text(reference).doing(|| "write the page".to_string()),
            Format::Json => serde_json::to_string_pretty(reference)
                .map(|json| json + "\n")
                .doing(|| "write JSON".to_string()),
            Format::Csv => Ok(csv::text(reference)),
            Format::Schema => serde_json::to_string_pretty(&schemars::schema_for!(Reference))
                .map(|json| json + "\n")
                .doing(|| "write the schema".to_string()),
        }
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &VmcbDocs) -> Result<Status> {
    if !command.decode.is_empty() {
        let texts: Vec<String> = command
            .decode
            .iter()
            .map(|what| decoded(what))
            .collect::<Result<_>>()?;
        produce(&texts.join("\n"));
        return Ok(Status::Good);
    }
    let reference = Reference::new(views(workspace, command)?);
    let write = |format: Format| match format {
        // The page compares policies: unasked, it gets all there are.
        Format::Html if command.config.is_empty() && !command.bare => {
            format.write(&Reference::new(every_view(workspace)?))
        }
        _ => format.write(&reference),
    };
    let Some(output) = &command.output else {
        let format = command.format.unwrap_or(Format::Md);
        produce(&write(format)?);
        return Ok(Status::Good);
    };
    if output.is_dir() || output.to_string_lossy().ends_with('/') {
        std::fs::create_dir_all(output)
            .doing(|| format!("make the folder {}", output.display()))?;
        let formats = command.format.map_or(Format::ALL.to_vec(), |one| vec![one]);
        for format in formats {
            put(&output.join(format.file_name()), &write(format)?)?;
        }
    } else {
        let Some(format) = command.format.or_else(|| Format::of_file(output)) else {
            return Err(Failure::bad_input(format!(
                "{}: the ending names no format; add --format md, html, json, csv or schema",
                output.display()
            )));
        };
        put(output, &write(format)?)?;
    }
    Ok(Status::Good)
}

fn put(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).doing(|| format!("write {}", file.display()))?;
    say(&format!(
        "wrote {}, {} KiB",
        file.display(),
        text.len() >> 10
    ));
    Ok(())
}

/// The policies that are asked for.
fn views(workspace: &Workspace, command: &VmcbDocs) -> Result<Vec<PolicyView>> {
    match &command.config[..] {
        _ if command.bare => Ok(Vec::new()),
        [] => Ok(vec![view(workspace, &config_file(workspace, None)?)?]),
        files => files
            .iter()
            .map(|file| view(workspace, &config_file(workspace, Some(file))?))
            .collect(),
    }
}

/// The workspace's own policy, and those in `policies/`.
fn every_view(workspace: &Workspace) -> Result<Vec<PolicyView>> {
    let folder = workspace.root().join("policies");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .doing(|| format!("read the folder {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    files.insert(0, config_file(workspace, None)?);
    files.iter().map(|file| view(workspace, file)).collect()
}

fn view(workspace: &Workspace, file: &Path) -> Result<PolicyView> {
    let mut view = overlay::view(&policy::load(workspace, file)?);
    // A file of the workspace has one name, wherever the command is run.
    if let Ok(within) = file.strip_prefix(workspace.root()) {
        view.file = within.display().to_string();
    }
    Ok(view)
}

/// What a dump, or a value, holds.
fn decoded(what: &str) -> Result<String> {
    let reference = Reference::new(Vec::new());
    if let Some((name, value)) = what.split_once('=') {
        return decoded_value(&reference, name.trim(), value.trim());
    }
    let mut bytes = Vec::new();
    if what == "-" {
        std::io::stdin()
            .read_to_end(&mut bytes)
            .doing(|| "read standard input".to_string())?;
    } else {
        bytes = std::fs::read(what).map_err(|error| {
            Failure::bad_input(format!(
                "cannot read {what}: {error}; give a dump's file, - for standard input, or \
                 FIELD=VALUE"
            ))
        })?;
    }
    let vmcb = hexdump::read(&bytes).map_err(|why| Failure::bad_input(format!("{what}: {why}")))?;
    Ok(dump::cut(&reference, &vmcb).text() + &dump::verdict(&vmcb))
}

fn decoded_value(reference: &Reference, name: &str, value: &str) -> Result<String> {
    let subjects = decode::subjects(reference);
    let wanted = name.to_lowercase();
    let Some(subject) = subjects
        .iter()
        .find(|subject| subject.names.contains(&wanted))
    else {
        let names = subjects.iter().flat_map(|subject| &subject.names);
        let hint = vmm_config::nearest(&wanted, names.map(String::as_str)).map_or_else(
            || "write a field such as `vintr`, or `ioio.info1`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Failure::bad_input(format!(
            "there is no field `{name}`; {hint}"
        )));
    };
    let number = number(value).ok_or_else(|| {
        Failure::bad_input(format!("`{value}` is no number; write 0x1f, 1fh or 31"))
    })?;
    if number >> (subject.bytes * 8 - 1) > 1 {
        return Err(Failure::bad_input(format!(
            "{value} does not fit the {} bytes of `{name}`",
            subject.bytes
        )));
    }
    Ok(words(subject, number))
}

fn words(subject: &Subject<'_>, value: u128) -> String {
    let name = subject.names.first().map_or("", String::as_str);
    let title = format!("{name} ({})", subject.meaning);
    let parts = decode::cut(subject.bits, subject.bytes, value);
    decode::text(&title, subject.bytes, &parts)
}

/// `0x1f`, `1fh` or `31`, with `_` where it helps.
fn number(text: &str) -> Option<u128> {
    let text = text.replace('_', "").to_lowercase();
    match text.strip_prefix("0x").or(text.strip_suffix('h')) {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
