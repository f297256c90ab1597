//! The pages for people, as a browser with a strict reading of its policy would meet them.

use std::collections::BTreeSet;

use crate::support::database;
use crate::support::server::Server;
use crate::support::world;

/// The paths that a page links to.
fn links(page: &str) -> Vec<String> {
    let hrefs = page.split("href=\"").skip(1);
    let hrefs = hrefs.filter_map(|rest| rest.split('"').next());
    hrefs.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_link_leads_somewhere_and_the_failed_execution_is_reached_with_its_cause() {
    let database = database::sqlite().await;
    database.execute(&world::sql()).await;
    let server = Server::start(&database.url, &[]);
    let mut seen = BTreeSet::new();
    let mut next = vec!["/".to_owned()];
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let reply = server.get(&path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        if reply.head.contains("text/html") {
            next.extend(links(&reply.body));
        }
    }
    for wanted in [
        "/style.css".to_owned(),
        format!("/executions/{}", world::FAILED),
        format!("/jobs/{}", world::JOB),
        format!("/traces/{}", world::TRACE),
    ] {
        assert!(seen.contains(&wanted), "{wanted} is in none of {seen:?}");
    }
    let page = server.get(&format!("/executions/{}", world::FAILED)).body;
    for part in ["No healthy provider", "What to do", "Evidence", "<svg"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test]
async fn text_of_others_stays_text_and_nothing_needs_a_script_or_another_host() {
    let database = database::sqlite().await;
    let hostile = "<img src=x onerror=alert(1)>\"'&";
    let sql = world::sql().replace("no healthy providers", &hostile.replace('\'', "''"));
    database.execute(&sql).await;
    let server = Server::start(&database.url, &[]);
    let pages = [
        "/".to_owned(),
        format!("/executions/{}", world::FAILED),
        format!("/jobs/{}", world::JOB),
        format!("/traces/{}", world::TRACE),
        "/executions/%3Cimg%20src=x%20onerror=alert(1)%3E".to_owned(),
        "/traces/%3Cscript%3E".to_owned(),
    ];
    for path in pages {
        let reply = server.get(&path);
        assert!(
            reply
                .head
                .contains("content-security-policy: default-src 'none'; style-src 'self'"),
            "{path}: {}",
            reply.head
        );
        for never in ["<img", "<script", " style=", "://", "\u{1b}", "\u{202e}"] {
            assert!(
                !reply.body.contains(never),
                "{path} has {never}: {}",
                reply.body
            );
        }
    }
    let page = server.get(&format!("/traces/{}", world::TRACE)).body;
    assert!(
        page.contains("&lt;img src=x onerror=alert(1)&gt;"),
        "{page}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_a_page_with_the_status_of_the_api() {
    let database = database::sqlite().await;
    let server = Server::start(&database.url, &[]);
    for (path, status) in [
        ("/executions/9", 404),
        ("/executions/nine", 400),
        ("/jobs/nobody", 404),
        ("/traces/00c0ffee", 404),
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        assert!(reply.head.contains("text/html"), "{path}");
    }
    let first = server.get("/").body;
    assert!(first.contains("Nothing has failed"), "{first}");
}
