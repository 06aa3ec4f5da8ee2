//! What is done during a run, and after what: `--expect`, `--keys`, `--type`, `--see`, `--screen`.
//!
//! The options count in the order of the command line. An `--expect` holds
//! back all that follows it until the serial output, from where the last
//! `--expect` matched, contains its text. Prompts have no newline, so the
//! output is searched as it comes and not line by line.

use std::collections::VecDeque;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::keys::{self, Stroke};
use super::text::{end_of, keep_tail, unescape};

/// One of the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for this text.
    Expect(String),
    /// Press these keys on the PS/2 keyboard.
    Keys(Vec<Stroke>),
    /// Send this text to the serial port.
    Type(String),
    /// Wait until the screen shows this text.
    See(String),
    /// Save the screen to this file.
    Screen(PathBuf),
}

/// All of them, in the order of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

/// Name, value and help of each.
const OPTIONS: [(&str, &str, &str); 5] = [
    (
        "expect",
        "TEXT",
        "Hold back the steps that follow until the serial output contains TEXT",
    ),
    (
        "keys",
        "TEXT",
        "Type TEXT on the PS/2 keyboard (US layout; \\n is Enter, <ctrl+alt+esc> a chord); may be repeated",
    ),
    (
        "type",
        "TEXT",
        "Type TEXT on the serial port; may be repeated",
    ),
    (
        "see",
        "TEXT",
        "Hold back the steps that follow until the screen, in text mode, shows TEXT",
    ),
    (
        "screen",
        "FILE",
        "Save the screen, as the steps before leave it, to FILE: as text if its name ends in .txt, as a picture in .png or .ppm",
    ),
];

impl Args for Script {
    fn augment_args(command: Command) -> Command {
        OPTIONS
            .iter()
            .fold(command, |command, (name, value, help)| {
                let option = Arg::new(*name)
                    .long(*name)
                    .value_name(*value)
                    .help(*help)
                    .allow_hyphen_values(true)
                    .action(clap::ArgAction::Append);
                command.arg(match *name {
                    "keys" => option
                        .value_parser(|text: &str| keys::strokes(&unescape(text)?).map(Step::Keys)),
                    "type" => option.value_parser(|text: &str| unescape(text).map(Step::Type)),
                    "see" => option.value_parser(|text: &str| unescape(text).map(Step::See)),
                    "screen" => option.value_parser(PathBufValueParser::new().map(Step::Screen)),
                    _ => option.value_parser(|text: &str| unescape(text).map(Step::Expect)),
                })
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Script::augment_args(command)
    }
}

impl FromArgMatches for Script {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Script, clap::Error> {
        let mut steps: Vec<(usize, Step)> = Vec::new();
        for (name, ..) in OPTIONS {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<Step>(name).into_iter().flatten();
            steps.extend(places.zip(values.cloned()));
        }
        steps.sort_by_key(|(place, _)| *place);
        let steps: Vec<Step> = steps.into_iter().map(|(_, step)| step).collect();
        let waits = |step: &Step| matches!(step, Step::Expect(_) | Step::See(_));
        let mut at_once = steps.iter().take_while(|step| !waits(step));
        if at_once.any(|step| matches!(step, Step::Screen(_))) {
            return Err(clap::Error::raw(
                ErrorKind::ValueValidation,
                "--screen saves the screen at its place among the steps, and before it nothing is \
                 waited for; put --expect TEXT or --see TEXT before it\n",
            ));
        }
        Ok(Script(steps))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Script::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What the script has to be typed next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Press one key.
    Press(Stroke),
    /// Send these bytes to the serial port.
    Send(Vec<u8>),
    /// Look whether the screen shows this, and tell [`Player::saw`] once it does.
    Look(String),
    /// Save the screen to this file.
    Save(PathBuf),
}

/// Plays a script against the serial output.
#[derive(Debug)]
pub struct Player {
    steps: VecDeque<Step>,
    /// Key presses of the step that was begun.
    strokes: VecDeque<Stroke>,
    /// Output that no `--expect` has consumed.
    unread: Vec<u8>,
}

impl Player {
    /// Starts at the first step.
    pub fn new(script: &Script) -> Player {
        Player {
            steps: script.0.clone().into(),
            strokes: VecDeque::new(),
            unread: Vec::new(),
        }
    }

    /// Takes the next piece of serial output.
    pub fn hear(&mut self, piece: &[u8]) {
        if !self.steps.is_empty() {
            self.unread.extend_from_slice(piece);
        }
    }

    /// The screen shows what was to be looked for.
    pub fn saw(&mut self) {
        self.steps.pop_front();
    }

    /// The next thing to do; none while an `--expect` waits, or at the end.
    pub fn take_action(&mut self) -> Option<Action> {
        loop {
            if let Some(stroke) = self.strokes.pop_front() {
                return Some(Action::Press(stroke));
            }
            if let Some(Step::Expect(text)) = self.steps.front() {
                let Some(end) = end_of(text.as_bytes(), &self.unread) else {
                    keep_tail(text.as_bytes(), &mut self.unread);
                    return None;
                };
                self.unread.drain(..end);
            }
            if let Some(Step::See(text)) = self.steps.front() {
                return Some(Action::Look(text.clone()));
            }
            match self.steps.pop_front()? {
                Step::Expect(_) | Step::See(_) => {}
                Step::Keys(strokes) => self.strokes = strokes.into(),
                Step::Type(text) => return Some(Action::Send(text.into_bytes())),
                Step::Screen(file) => return Some(Action::Save(file)),
            }
        }
    }

    /// The text that an `--expect` still waits for.
    pub fn awaited(&self) -> Option<&str> {
        match self.steps.front() {
            Some(Step::Expect(text)) if self.strokes.is_empty() => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(arguments: &[&str]) -> Script {
        let command = Script::augment_args(Command::new("test").no_binary_name(true));
        let matches = command
            .try_get_matches_from(arguments)
            .expect("a good command line");
        Script::from_arg_matches(&matches).expect("a script")
    }

    fn send(text: &str) -> Option<Action> {
        Some(Action::Send(text.into()))
    }

    #[test]
    fn steps_keep_the_order_of_the_command_line() {
        let steps = script(&[
            "--type", "a", "--expect", "b", "--keys", "c", "--type", "d", "--see", "e", "--screen",
            "f",
        ])
        .0;
        let names: Vec<_> = steps
            .iter()
            .map(|step| match step {
                Step::Expect(text) | Step::Type(text) | Step::See(text) => text.as_str(),
                Step::Keys(strokes) => strokes[0].0[0],
                Step::Screen(file) => file.to_str().expect("ASCII"),
            })
            .collect();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_screen_that_nothing_is_waited_for_before_is_refused() {
        let parse = |words: &[&str]| {
            let command = Script::augment_args(Command::new("run").no_binary_name(true));
            Script::from_arg_matches(&command.try_get_matches_from(words).expect("words"))
        };
        let error = parse(&["--type", "a", "--screen", "b.png", "--expect", "c"]);
        let text = error.expect_err("too early").to_string();
        assert!(text.contains("before it"), "{text}");
        assert!(parse(&["--expect", "c", "--type", "a", "--screen", "b.png"]).is_ok());
    }

    #[test]
    fn a_see_is_asked_again_until_it_was_seen() {
        let mut player = Player::new(&script(&["--see", "a", "--screen", "b.png"]));
        for _ in 0..3 {
            assert_eq!(player.take_action(), Some(Action::Look("a".into())));
        }
        player.saw();
        assert_eq!(player.take_action(), Some(Action::Save("b.png".into())));
        assert_eq!(player.take_action(), None);
    }

    #[test]
    fn an_expect_holds_back_what_follows_until_its_text_came() {
        let mut player = Player::new(&script(&["--type", "1", "--expect", "> ", "--type", "2"]));
        assert_eq!(player.take_action(), send("1"));
        assert_eq!(player.take_action(), None);
        assert_eq!(player.awaited(), Some("> "));
        player.hear(b"shell>");
        assert_eq!(player.take_action(), None);
        player.hear(b" ");
        assert_eq!(player.take_action(), send("2"));
        assert_eq!(player.awaited(), None);
    }

    #[test]
    fn output_that_one_expect_consumed_does_not_satisfy_the_next() {
        let mut player = Player::new(&script(&[
            "--expect", ">", "--type", "1", "--expect", ">", "--type", "2",
        ]));
        player.hear(b"a>b");
        assert_eq!(player.take_action(), send("1"));
        assert_eq!(player.take_action(), None);
        player.hear(b">");
        assert_eq!(player.take_action(), send("2"));
    }

    #[test]
    fn output_that_comes_while_keys_are_pressed_is_not_lost() {
        let mut player = Player::new(&script(&["--keys", "ab", "--expect", "ok", "--type", "1"]));
        assert!(matches!(player.take_action(), Some(Action::Press(_))));
        player.hear(b"ok");
        assert!(matches!(player.take_action(), Some(Action::Press(_))));
        assert_eq!(player.take_action(), send("1"));
        assert_eq!(player.take_action(), None);
    }
}
