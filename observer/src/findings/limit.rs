//! Where the limit on a queue is from.

use crate::model::Backlog;

/// Where the limit comes from: `listen()` or somaxconn.
pub(super) fn is_from(backlog: &Backlog) -> Option<String> {
    let limit = backlog.limit?;
    let somaxconn = backlog.somaxconn;
    Some(match (backlog.requested, somaxconn) {
        (Some(asked), Some(now)) if backlog.clamped == Some(true) && now > limit => format!(
            "listen() was asked for {} and clamped to {limit}; somaxconn is {now} since: restart it",
            asked_for(asked)
        ),
        (Some(asked), _) if backlog.clamped == Some(true) => {
            format!("listen() was asked for {} and clamped to somaxconn {limit}", asked_for(asked))
        }
        (Some(_), _) => format!("limit {limit} is what listen() was asked for"),
        (None, Some(now)) if now > limit => format!(
            "limit {limit} is from listen(), somaxconn is {now} now: if the program asks for more, restart it"
        ),
        (None, Some(now)) => {
            format!(
                "limit {limit} is at somaxconn ({now}): listen() gives no more before that is raised"
            )
        }
        (None, None) => return None,
    })
}

/// A backlog as the program wrote it: an int.
fn asked_for(requested: u64) -> String {
    match u32::try_from(requested).map(u32::cast_signed) {
        Ok(int) if int < 0 => int.to_string(),
        _ => requested.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_of_listen_or_of_somaxconn() {
        let told = |requested, clamped, somaxconn| {
            is_from(&Backlog {
                limit: Some(16),
                requested,
                clamped,
                somaxconn: Some(somaxconn),
                ..Backlog::default()
            })
            .expect("a limit")
        };
        assert_eq!(
            told(None, None, 4096),
            "limit 16 is from listen(), somaxconn is 4096 now: if the program asks for more, restart it"
        );
        assert!(told(None, None, 16).starts_with("limit 16 is at somaxconn (16)"));
        assert!(told(Some(64), Some(true), 4096).ends_with("somaxconn is 4096 since: restart it"));
        assert!(told(Some(64), Some(true), 16).ends_with("64 and clamped to somaxconn 16"));
        let negative = u64::from((-1_i32).cast_unsigned());
        assert!(told(Some(negative), Some(true), 16).contains("asked for -1 "));
        assert!(told(Some(16), Some(false), 4096).ends_with("what listen() was asked for"));
        assert_eq!(is_from(&Backlog::default()), None);
    }
}
