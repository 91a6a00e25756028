//! Whom the command runs as: who called sudo, where that is how observer was called.

use std::{
    ffi::{CString, OsString},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, initgroups, setegid, seteuid, setgroups, setresgid, setresuid,
};
use observer::error::Failure;

/// Who called sudo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoker {
    uid: Uid,
    gid: Gid,
    /// What the users' database knows; `None` where it knows no such user.
    known: Option<Known>,
}

/// What the users' database knows of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    home: PathBuf,
    shell: PathBuf,
}

impl Invoker {
    /// Who called sudo, by the variables that it sets; `None` where nobody but root did, or it was not called. They are only
    /// believed where this is root, who may become anybody.
    ///
    /// # Errors
    ///
    /// When the variables make no sense: a command must not be run as root by mistake.
    pub fn find(
        is_root: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>> {
        if !is_root {
            return Ok(None);
        }
        let Some(uid) = number(&variable, "SUDO_UID")? else { return Ok(None) };
        if uid == 0 {
            return Ok(None);
        }
        let uid = Uid::from_raw(uid);
        let user = User::from_uid(uid).context("the users' database cannot be read")?;
        let gid = number(&variable, "SUDO_GID")?.map(Gid::from_raw);
        let Some(gid) = gid.or(user.as_ref().map(|user| user.gid)) else {
            return Err(Failure::failed(format!(
                "SUDO_UID is {uid}, but neither SUDO_GID nor the users' database tells its group; run the command \
                 as root with `env -u SUDO_UID`"
            ))
            .into());
        };
        let known = user.map(|User { name, dir, shell, .. }| Known { name, home: dir, shell });
        Ok(Some(Self { uid, gid, known }))
    }

    /// The user in words.
    pub fn words(&self) -> String {
        match &self.known {
            Some(known) => format!("{} (uid {})", known.name, self.uid),
            None => format!("uid {}", self.uid),
        }
    }

    /// Variables of the environment that sudo set for root, as they are for this user.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let Some(Known { name, home, shell }) = &self.known else { return Vec::new() };
        vec![
            ("HOME", home.into()),
            ("SHELL", shell.into()),
            ("USER", name.into()),
            ("LOGNAME", name.into()),
        ]
    }

    /// Does something with what this user and its group may do to files. There must be one thread.
    ///
    /// # Errors
    ///
    /// When the kernel refuses. It is root again in any case.
    pub fn acting<T>(&self, what: impl FnOnce() -> T) -> Result<T> {
        /// Becomes again what it was.
        struct Back(Uid, Gid);
        impl Drop for Back {
            fn drop(&mut self) {
                if seteuid(self.0).and_then(|()| setegid(self.1)).is_err() {
                    // Nothing that follows is meant to be done as another user.
                    std::process::abort();
                }
            }
        }
        let _back = Back(geteuid(), getegid());
        setegid(self.gid)
            .and_then(|()| seteuid(self.uid))
            .context("cannot act as who called sudo")?;
        Ok(what())
    }

    /// Becomes this user, with all groups, for good.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn become_it(&self) -> nix::Result<()> {
        let name = self.known.as_ref().and_then(|known| CString::new(known.name.as_str()).ok());
        match name {
            Some(name) => initgroups(&name, self.gid)?,
            None => setgroups(&[self.gid])?,
        }
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)
    }
}

fn number(variable: impl Fn(&str) -> Option<OsString>, name: &str) -> Result<Option<u32>> {
    let Some(value) = variable(name) else { return Ok(None) };
    let number = value.to_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        Failure::failed(format!(
            "{name} is no id of a user or group, so that it is not known whom the command is to run as; unset it"
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Option<Invoker>> {
        Invoker::find(true, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn only_root_changes_who_it_is() {
        let variables = |_: &str| Some("65534".into());
        assert_eq!(Invoker::find(false, variables).ok(), Some(None));
        assert_eq!(find(&[]).ok(), Some(None));
        assert_eq!(find(&[("SUDO_UID", "0"), ("SUDO_GID", "0")]).ok(), Some(None));
    }

    #[test]
    fn who_called_sudo_is_known_by_its_number() {
        let nobody = find(&[("SUDO_UID", "4294000000"), ("SUDO_GID", "7")]).ok().flatten();
        let nobody = nobody.expect("somebody");
        assert_eq!((nobody.uid, nobody.gid), (Uid::from_raw(4_294_000_000), Gid::from_raw(7)));
        assert_eq!(nobody.words(), "uid 4294000000");
        assert!(nobody.environment().is_empty());
    }

    #[test]
    fn nonsense_does_not_run_a_command_as_root() {
        for variables in [
            &[("SUDO_UID", "")][..],
            &[("SUDO_UID", "me")],
            &[("SUDO_UID", "-1")],
            &[("SUDO_UID", "4294000000")],
            &[("SUDO_UID", "4294000000"), ("SUDO_GID", "x")],
        ] {
            assert!(find(variables).is_err(), "{variables:?}");
        }
    }
}
