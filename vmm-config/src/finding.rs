//! What is wrong with a policy: findings, and their pictures.
//!
//! A finding names its rule, the place, what is wrong there, why, and what to write instead.
//! [`Report`] shows them in the order of the file; the same text comes from the compiler,
//! through the proc-macro, and from the tools.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};

use crate::rules::Rule;
use crate::source::{Place, Source, Span};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy does less than it seems to.
    Warning,
}

/// A place that a finding points at.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// Bytes of the text.
    #[serde(skip)]
    pub span: Span,
    /// Where it starts.
    pub start: Place,
    /// The place behind its last character.
    pub end: Place,
    /// What is said beside the carets; may be empty.
    pub label: String,
}

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The rule that is broken.
    #[serde(serialize_with = "rule_name")]
    pub rule: &'static Rule,
    /// Error or warning, by the rule.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub at: Mark,
    /// What else has to do with it.
    pub others: Vec<Mark>,
    /// Why it is wrong, with the section of the manual where it has one.
    pub why: String,
    /// What to write instead.
    pub help: Option<String>,
}

fn rule_name<S: Serializer>(rule: &&'static Rule, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rule.name)
}

impl Finding {
    fn picture(&self, source: &Source, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut snippet = Snippet::source(&*source.text)
            .path(&*source.name)
            .annotation(annotation(AnnotationKind::Primary, &self.at));
        for other in &self.others {
            snippet = snippet.annotation(annotation(AnnotationKind::Context, other));
        }
        let mut group = level
            .primary_title(&*self.message)
            .element(snippet)
            .element(Level::NOTE.message(&*self.why));
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(&**help));
        }
        renderer.render(&[group])
    }
}

fn annotation(kind: AnnotationKind, mark: &Mark) -> annotate_snippets::Annotation<'_> {
    let annotation = kind.span(mark.span.start..mark.span.end);
    if mark.label.is_empty() {
        annotation
    } else {
        annotation.label(&*mark.label)
    }
}

/// Everything found in one policy, in the order of the file.
///
/// `Display` gives the pictures without colour; serialised, it is the same for machines.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The text that the findings are about; machine-readable reports give its name alone.
    pub source: Source,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the policy is refused.
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// One picture for each finding: the line with carets, why, and what to write.
    pub fn pictures(&self, colour: bool) -> impl Iterator<Item = String> + '_ {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        self.findings
            .iter()
            .map(move |finding| finding.picture(&self.source, &renderer))
    }

    /// All pictures, an empty line between them.
    pub fn render(&self, colour: bool) -> String {
        self.pictures(colour).collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// Collects findings while a policy is read and checked.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    source: &'a Source,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Findings {
            source,
            list: Vec::new(),
        }
    }

    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    /// Adds a finding; the caller refines it.
    pub(crate) fn add(
        &mut self,
        rule: &'static Rule,
        span: Span,
        message: impl Into<String>,
    ) -> Draft<'_, 'a> {
        let index = self.list.len();
        self.list.push(Finding {
            rule,
            severity: rule.severity,
            message: message.into(),
            at: mark(self.source, span, String::new()),
            others: Vec::new(),
            why: with_section(rule.demands, rule.section),
            help: None,
        });
        Draft {
            source: self.source,
            finding: &mut self.list[index],
        }
    }

    /// Whether `rule` is broken somewhere.
    pub(crate) fn breaks(&self, rule: &Rule) -> bool {
        self.list.iter().any(|finding| finding.rule == rule)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Finding) -> bool) {
        self.list.retain(keep);
    }

    pub(crate) fn into_report(mut self) -> Report {
        self.list
            .sort_by_key(|finding| (finding.at.span, finding.rule.name));
        Report {
            source: self.source.clone(),
            findings: self.list,
        }
    }
}

/// A finding that was just added.
pub(crate) struct Draft<'f, 'a> {
    source: &'a Source,
    finding: &'f mut Finding,
}

impl Draft<'_, '_> {
    /// What to say beside the carets.
    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        self.finding.at.label = label.into();
        self
    }

    /// Another place that has to do with it.
    pub(crate) fn also(self, span: Span, label: impl Into<String>) -> Self {
        let mark = mark(self.source, span, label.into());
        if mark.span != self.finding.at.span {
            self.finding.others.push(mark);
        }
        self
    }

    /// A reason that says more than the rule does.
    pub(crate) fn why(self, why: &str, section: Option<&str>) -> Self {
        self.finding.why = with_section(why, section);
        self
    }

    /// What to write instead.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.finding.help = Some(help.into());
        self
    }
}

fn mark(source: &Source, span: Span, label: String) -> Mark {
    let span = source.fit(span);
    Mark {
        span,
        start: source.place(span.start),
        end: source.place(span.end),
        label,
    }
}

fn with_section(why: &str, section: Option<&str>) -> String {
    match section {
        Some(section) => format!("{why} (APM {section})"),
        None => why.to_owned(),
    }
}
