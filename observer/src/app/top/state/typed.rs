//! Words that are typed, of which rows must have each.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Effect, State};
use crate::app::top::keys;

/// Most letters of it.
const LETTERS: usize = 100;

impl State {
    /// Takes a key: as a letter while words are typed, else as what it stands for.
    pub fn key(&mut self, key: KeyEvent) -> Option<Effect> {
        if !self.typing {
            return keys::action(key).and_then(|action| self.act(action));
        }
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.message = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Effect::Quit),
            KeyCode::Char('z') if control => return Some(Effect::Suspend),
            KeyCode::Char('u') if control => self.words.clear(),
            KeyCode::Char(letter) if !control && self.words.len() < LETTERS => {
                self.words.push(letter);
            }
            KeyCode::Backspace => {
                if self.words.pop().is_none() {
                    self.typing = false;
                }
            }
            KeyCode::Enter | KeyCode::Tab | KeyCode::Down | KeyCode::Up => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.words.clear();
            }
            _ => return None,
        }
        self.renew();
        None
    }
}
