//! The screen of `cargo vmm top`, and what the keys do to it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::sample::{Rate, Sample, rates};
use crate::table::grouped;

/// What the lines are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Exits a second.
    #[default]
    Rate,
    /// Share of time.
    Share,
    /// Exits in all.
    Count,
    /// Name.
    Name,
}

impl Sort {
    fn next(self) -> Sort {
        match self {
            Sort::Rate => Sort::Share,
            Sort::Share => Sort::Count,
            Sort::Count => Sort::Name,
            Sort::Name => Sort::Rate,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Sort::Rate => "exits a second",
            Sort::Share => "share of time",
            Sort::Count => "exits in all",
            Sort::Name => "name",
        }
    }
}

/// What a key asks of whoever runs the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing more.
    None,
    /// To end.
    Quit,
    /// To have what is shown in a file.
    Freeze,
}

/// The state of the screen.
#[derive(Debug, Default)]
pub struct View {
    now: Option<Sample>,
    before: Option<Sample>,
    sort: Sort,
    filter: String,
    /// The filter is being typed.
    typing: bool,
    paused: bool,
    /// Only the VM with this number, from 0.
    vm: Option<usize>,
    /// What was said last.
    pub message: String,
}

impl View {
    /// Shows a new sample, unless the view is paused.
    pub fn show(&mut self, sample: Sample) {
        if !self.paused {
            self.before = self.now.replace(sample);
        }
    }

    /// What is shown.
    pub fn sample(&self) -> Option<&Sample> {
        self.now.as_ref()
    }

    /// Takes a key.
    pub fn key(&mut self, key: char) -> Wish {
        const ENTER: char = '\n';
        const ESCAPE: char = '\x1b';
        const BACKSPACE: char = '\x08';
        if self.typing {
            match key {
                ENTER => self.typing = false,
                ESCAPE => {
                    self.typing = false;
                    self.filter.clear();
                }
                BACKSPACE => drop(self.filter.pop()),
                other => self.filter.push(other),
            }
            return Wish::None;
        }
        match key {
            'q' => return Wish::Quit,
            'f' => return Wish::Freeze,
            's' => self.sort = self.sort.next(),
            'p' | ' ' => self.paused = !self.paused,
            '/' => self.typing = true,
            'v' => {
                let vms = self.now.as_ref().map_or(0, |now| now.vms.len());
                let next = self.vm.map_or(0, |vm| vm + 1);
                self.vm = (next < vms).then_some(next);
            }
            _ => {}
        }
        Wish::None
    }

    /// The lines of exits, filtered and sorted.
    pub fn rates(&self) -> Vec<Rate> {
        let Some(now) = &self.now else {
            return Vec::new();
        };
        let name = self.vm.and_then(|vm| now.vms.get(vm)).map(|vm| &vm.name);
        let mut rates = rates(now, self.before.as_ref(), |vm| {
            name.is_none_or(|name| vm.name == *name)
        });
        rates.retain(|rate| rate.name.contains(&self.filter));
        rates.sort_by(|a, b| match self.sort {
            Sort::Rate => b.per_second.total_cmp(&a.per_second),
            Sort::Share => b.share.total_cmp(&a.share),
            Sort::Count => b.count.cmp(&a.count),
            Sort::Name => a.name.cmp(b.name),
        });
        rates
    }

    /// Draws it.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let vms = self.now.as_ref().map_or(0, |now| now.vms.len()) as u16;
        let [head, machines, exits, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(vms + 2),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.machines(), machines);
        frame.render_widget(self.exits(), exits);
        frame.render_widget(self.foot(), foot);
    }

    fn head(&self) -> Paragraph<'static> {
        let paused = if self.paused { ", paused" } else { "" };
        let text = format!("tollgate, by {}{paused}", self.sort.name());
        Paragraph::new(Line::styled(
            text,
            Style::new().add_modifier(Modifier::BOLD),
        ))
    }

    fn machines(&self) -> Table<'static> {
        let vms = self.now.iter().flat_map(|now| &now.vms).enumerate();
        let rows = vms.map(|(index, vm)| {
            let mark = if self.vm == Some(index) { ">" } else { " " };
            let exits: u64 = vm.exits.iter().map(|exit| exit.count).sum();
            let hz = self.now.as_ref().map_or(1, |now| now.tsc_hz.max(1));
            Row::new([
                format!("{mark}{}", vm.name),
                vm.state.to_owned(),
                vm.lives.to_string(),
                format!("{:.1} s", vm.run_cycles as f64 / hz as f64),
                grouped(exits),
            ])
        });
        let widths = [24, 10, 8, 12, 16].map(Constraint::Length);
        Table::new(rows, widths).header(heading(["VM", "state", "starts", "ran", "exits"]))
    }

    fn exits(&self) -> Table<'static> {
        let rows = self.rates().into_iter().map(|rate| {
            Row::new([
                Cell::new(rate.name),
                Cell::new(format!("{:>14}", grouped(rate.count))),
                Cell::new(format!("{:>10.0}", rate.per_second)),
                Cell::new(format!("{:>7.1} %", rate.share)),
                Cell::new(format!("{:>10.0}", rate.mean)),
            ])
        });
        let widths = [24, 16, 12, 12, 12].map(Constraint::Length);
        let headings = [
            "exit",
            "         total",
            "  a second",
            "  of time",
            "ticks each",
        ];
        Table::new(rows, widths).header(heading(headings))
    }

    fn foot(&self) -> Line<'static> {
        if self.typing {
            Line::raw(format!(
                "filter: {}_   Enter keeps it, Esc drops it",
                self.filter
            ))
        } else if !self.message.is_empty() {
            Line::raw(self.message.clone())
        } else {
            let filter = match self.filter.as_str() {
                "" => String::new(),
                filter => format!(" ({filter})"),
            };
            Line::raw(format!(
                "s sort  / filter{filter}  v one VM or all  p pause  f freeze to a file  q quit"
            ))
        }
    }
}

fn heading<const N: usize>(cells: [&'static str; N]) -> Row<'static> {
    Row::new(cells).style(Style::new().add_modifier(Modifier::UNDERLINED))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::lab::top::sample::tests::sample;

    fn screen(view: &View) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 16)).expect("a screen");
        terminal.draw(|frame| view.draw(frame)).expect("a picture");
        terminal.backend().to_string()
    }

    fn view() -> View {
        let mut view = View::default();
        view.show(sample(0, 0, &[("cpuid", 0, 0), ("hlt", 10, 0)]));
        view.show(sample(1, 1000, &[("cpuid", 500, 250), ("hlt", 1200, 100)]));
        view
    }

    /// Where each name stands on the screen.
    fn order(view: &View) -> Vec<&'static str> {
        view.rates().iter().map(|rate| rate.name).collect()
    }

    #[test]
    fn the_screen_shows_vms_and_exits_with_rates_and_shares() {
        let screen = screen(&view());
        for text in [
            "demo", "running", "cpuid", "1,200", "1190", "25.0 %", "q quit",
        ] {
            assert!(screen.contains(text), "no {text} in\n{screen}");
        }
    }

    #[test]
    fn s_sorts_by_something_else() {
        let mut view = view();
        assert_eq!(order(&view), ["hlt", "cpuid"]);
        view.key('s');
        assert_eq!(order(&view), ["cpuid", "hlt"]);
        assert!(screen(&view).contains("share of time"));
    }

    #[test]
    fn a_filter_is_typed_kept_and_dropped() {
        let mut view = view();
        assert_eq!(
            "/cpq".chars().map(|key| view.key(key)).last(),
            Some(Wish::None)
        );
        assert!(screen(&view).contains("filter: cpq_"));
        view.key('\x08');
        view.key('\n');
        assert_eq!(order(&view), ["cpuid"]);
        view.key('/');
        view.key('\x1b');
        assert_eq!(order(&view).len(), 2);
    }

    #[test]
    fn a_paused_view_stands_still() {
        let mut view = view();
        view.key('p');
        view.show(sample(2, 2000, &[("cpuid", 9999, 250)]));
        assert!(!screen(&view).contains("9,999"));
        view.key(' ');
        view.show(sample(3, 2000, &[("cpuid", 9999, 250)]));
        assert!(screen(&view).contains("9,999"));
    }

    #[test]
    fn v_goes_through_the_vms_and_back_to_all() {
        let mut view = view();
        view.key('v');
        assert!(screen(&view).contains(">demo"));
        view.key('v');
        assert!(!screen(&view).contains(">demo"));
        assert_eq!((view.key('f'), view.key('q')), (Wish::Freeze, Wish::Quit));
    }
}
