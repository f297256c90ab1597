//! What is installed where, and what stays when it goes.

use super::*;

fn place(kind: Kind) -> Place {
    Place {
        kind,
        instance: None,
        program: "/usr/local/bin/beacon-collector".into(),
        home: "/home/me".into(),
        config_home: "/home/me/.config".into(),
        user: 501,
        root: None,
        booted: true,
    }
}

fn commands(plan: &Plan) -> Vec<String> {
    let run = |step: &Step| match step {
        Step::Run(words, _) => Some(words.join(" ")),
        _ => None,
    };
    plan.0.iter().filter_map(run).collect()
}

#[test]
fn a_system_service_is_written_enabled_and_started() {
    let plan = place(Kind::System).install("# settings\n", false).unwrap();
    let Step::Write { path, text, .. } = &plan.0[0] else {
        panic!("{plan:?}");
    };
    assert_eq!(
        path,
        Path::new("/etc/systemd/system/beacon-collector.service")
    );
    assert!(text.contains("\nExecStart=/usr/local/bin/beacon-collector run --config /etc/"));
    assert_eq!(
        commands(&plan),
        [
            "systemctl daemon-reload",
            "systemctl enable beacon-collector.service",
            "systemctl restart beacon-collector.service"
        ]
    );
    assert_eq!(
        commands(&place(Kind::System).uninstall()),
        [
            "systemctl disable --now beacon-collector.service",
            "systemctl daemon-reload"
        ]
    );
}

#[test]
fn without_root_it_is_a_service_of_the_user() {
    let plan = place(Kind::User).install("", false).unwrap();
    assert!(
        commands(&plan)
            .iter()
            .all(|line| line.starts_with("systemctl --user "))
    );
    let written = plan.to_string();
    assert!(written.contains("cat > /home/me/.config/systemd/user/beacon-collector.service"));
    assert!(written.contains("/home/me/.config/beacon-collector/config.toml (unless it is there)"));
}

#[test]
fn an_app_of_several_has_an_instance_and_a_configuration_of_its_own() {
    let mut place = place(Kind::System);
    place.instance = Some("project-beacon-hf".parse().unwrap());
    let plan = place.install("", false).unwrap();
    assert!(
        commands(&plan)
            .contains(&"systemctl enable beacon-collector@project-beacon-hf.service".to_owned())
    );
    assert_eq!(
        place.config(),
        Path::new("/etc/beacon-collector/project-beacon-hf.toml")
    );
    let removes = |plan: &Plan| plan.0.iter().any(|step| matches!(step, Step::Remove(_)));
    assert!(
        !removes(&place.uninstall()),
        "other instances need the template"
    );
    place.kind = Kind::User;
    assert!(place.install("", false).is_err());
    for wrong in ["", "a/b", "../x", "a b", "%i"] {
        assert!(wrong.parse::<Instance>().is_err(), "{wrong}");
    }
}

#[test]
fn on_macos_it_is_an_agent_with_the_paths_of_its_user() {
    let mut place = place(Kind::Launchd);
    place.home = "/Users/me".into();
    let plan = place.install("", false).unwrap();
    let text = plan.to_string();
    assert!(text.contains("<string>/Users/me/.config/beacon-collector/config.toml</string>"));
    assert!(!text.contains("/Users/USER"), "{text}");
    assert!(
        commands(&plan)[1]
            .starts_with("launchctl bootstrap gui/501 /Users/me/Library/LaunchAgents/")
    );
}

#[test]
fn a_program_that_the_service_could_not_see_is_refused() {
    let mut place = place(Kind::System);
    place.program = "/home/me/bin/beacon-collector".into();
    assert!(
        place
            .install("", false)
            .unwrap_err()
            .contains("/usr/local/bin")
    );
    place.kind = Kind::User;
    assert!(place.install("", false).is_ok());
    place.program = "/home/me/my tools/beacon-collector".into();
    assert!(place.install("", false).is_err());
}

#[test]
fn a_packages_unit_is_used_by_the_packages_program_alone() {
    let root = tempfile::tempdir().unwrap();
    let mut place = place(Kind::System);
    place.root = Some(root.path().to_owned());
    assert_eq!(place.installed(), None);
    let packaged = root
        .path()
        .join("usr/lib/systemd/system/beacon-collector.service");
    write(&packaged, "of the package").unwrap();
    assert_eq!(place.installed(), Some(packaged));
    let writes_unit = |plan: Plan| {
        let mut steps = plan.0.into_iter();
        steps.any(|step| matches!(step, Step::Write { path, .. } if path == place.unit()))
    };
    assert!(writes_unit(place.install("", false).unwrap()));
    let mut of_package = place.clone();
    of_package.program = "/usr/bin/beacon-collector".into();
    assert!(!writes_unit(of_package.install("", false).unwrap()));
}

#[test]
fn what_the_user_has_written_stays() {
    let root = tempfile::tempdir().unwrap();
    let mut place = place(Kind::System);
    place.root = Some(root.path().to_owned());
    let settings = place.config();
    write(&settings, "mine").unwrap();
    let mut plan = place.install("new", false).unwrap();
    plan.0.retain(|step| !matches!(step, Step::Run(..)));
    plan.carry_out(|_| {}).unwrap();
    assert_eq!(std::fs::read_to_string(settings).unwrap(), "mine");
    assert!(place.unit().exists());
    let mut plan = place.uninstall();
    plan.0.retain(|step| !matches!(step, Step::Run(..)));
    plan.carry_out(|_| {}).unwrap();
    assert!(!place.unit().exists());
    assert!(place.config().exists());
}
