use serde_json::json;

use crate::form::*;
use crate::{Choice, Conditional, Email, FieldErrors, MultiLine, SingleLine};

crate::form! {
    #[derive(Debug)]
    struct Reason {
        reason: MultiLine<3, 9> { label: "Reason", noun: "a reason" },
    }
}

const SIZES: &[Choice] = &[Choice { key: "s", label: "Small", about: "" }];

crate::form! {
    #[derive(Debug)]
    struct Order {
        name: SingleLine<1, 5> { label: "Name", noun: "a name" },
        email: Option<Email> {},
        size: Vec<String> { label: "Size", noun: "a size", choices: SIZES },
        wrapped: bool { label: "Wrap it" },
        account: Conditional<SingleLine<0, 5>> { label: "Account", noun: "an account", sensitive: true },
        version: Conditional<i64> { hint: "What the change starts from." },
        proof: String { single_use: true },
        reason: Reason,
    }
}

const SENT: &str = "name=Zo%C3%AB&size=s&size=m&reason=because";

fn read(sent: &str) -> Result<Order, Vec<(&'static str, String)>> {
    let input: Input<Order> = parse(sent.as_bytes()).map_err(|error| vec![("", error.status().to_string())])?;
    input.parse(|_, _| {}).map_err(|errors| errors.iter().map(|(field, error)| (field, error.to_owned())).collect())
}

#[test]
fn what_is_sent_becomes_the_types_of_the_declaration() {
    let order = read(SENT).unwrap();
    assert_eq!((&*order.name, order.email, order.wrapped), ("Zoë", None, false));
    assert_eq!(order.size, ["s", "m"]);
    assert_eq!((order.account, order.version), (Conditional(None), Conditional(None)));
    assert_eq!((&*order.reason.reason, &*order.proof), ("because", ""));
    let order = read(&format!("{SENT}&email=a%40b.example&wrapped=yes&account=&version=7")).unwrap();
    assert_eq!((order.email.as_deref(), order.wrapped), (Some("a@b.example"), true));
    assert_eq!((order.account.0.as_deref(), order.version.0), (Some(""), Some(7)));
}

#[test]
fn unknown_missing_and_repeated_fields_are_refused() {
    let more = |field: &str| format!("{SENT}&{field}");
    for sent in
        [&*more("owner=1"), &more("name=b"), &more("version=one"), &more("version=1&version=2"), "name=a&size=s", ""]
    {
        assert_eq!(read(sent).unwrap_err(), [("", "422 Unprocessable Entity".to_owned())], "{sent}");
    }
}

#[test]
fn errors_are_in_the_words_of_the_field() {
    let errors = read("name=&email=x&reason=no").unwrap_err();
    let said: Vec<(&str, &str)> = errors.iter().map(|(field, error)| (*field, &**error)).collect();
    assert_eq!(
        said,
        [
            ("email", "Enter an address such as name@example.com."),
            ("name", "Enter a name."),
            ("reason", "A reason has at least 3 characters."),
            ("size", "Choose a size."),
        ]
    );
    let long = read("name=Zachary&size=s&reason=because").unwrap_err();
    assert_eq!(long, [("name", "A name has at most 5 characters. This one has 7.".to_owned())]);
}

#[test]
fn a_page_shows_what_was_typed_and_offers_no_more_than_was_offered() {
    let input: Input<Order> = parse(format!("{SENT}&wrapped=yes").as_bytes()).unwrap();
    let view = input.view_with(&FieldErrors::of(Order::FIELD.name, "Enter a name."));
    let names: Vec<&str> = view.fields.iter().map(|field| field.spec.name.as_str()).collect();
    assert_eq!(names, ["name", "email", "size", "wrapped", "reason"]);
    assert!(view.has_errors() && view.sensitive().is_empty() && !input.has_sensitive());
    let name = &view.fields[0];
    assert_eq!((name.value(), name.max_length()), ("Zoë", Some(5)));
    assert_eq!(name.described_by().as_deref(), Some("f-name-error"));
    assert!(view.fields[2].is_chosen("m") && view.fields[3].is_chosen("yes"));
    // The form can be sent again unchanged.
    assert_eq!(encode(&input).unwrap(), b"name=Zo%C3%AB&size=s&size=m&wrapped=yes&reason=because");
    assert_eq!(view.error_of(&Order::FIELD.name), Some("Enter a name."));
    assert!(view.error_of(&Order::FIELD.reason.reason).is_none() && view.field(&Order::FIELD.version).is_none());
    let filled = Input::<Order>::of(&json!({ "name": "Ada", "version": 3, "tenant_id": "x" })).unwrap();
    let filled = filled.and(&json!({ "account": "A1" })).unwrap();
    assert!(filled.has_sensitive());
    assert_eq!(filled.view().sensitive()[0].value(), "A1");
    assert_eq!(encode(&filled).unwrap(), b"name=Ada&account=A1&version=3");
}

#[test]
fn what_is_good_for_one_attempt_is_not_shown_again() {
    let input = Input::<Order>::default().with(Order::FIELD.proof, "xyz").with(Order::FIELD.reason.reason, "because");
    assert_eq!((input.text(Order::FIELD.proof), input.text(Order::FIELD.version)), (Some("xyz"), None));
    let texts: Vec<(String, &str)> = input.texts().map(|(name, text)| (name.to_string(), text)).collect();
    assert_eq!(texts, [("reason".to_owned(), "because")]);
    assert!(input.view().field(&Order::FIELD.proof).is_none_or(|field| field.value().is_empty()));
}

#[test]
fn the_schema_has_the_limits_and_no_sensitive_field() {
    let schema = schema_of_form::<Order>();
    assert_eq!(schema["required"], json!(["name", "size", "reason"]));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["name"], json!({ "type": "string", "minLength": 1, "maxLength": 5 }));
    assert_eq!(schema["properties"]["version"]["type"], "integer");
    assert!(schema["properties"].get("account").is_none());
}

#[test]
fn json_is_read_by_the_same_rules() {
    let read = |document| serde_json::from_value::<Input<Order>>(document).is_ok();
    assert!(read(json!({ "name": "Ada", "size": ["s"], "reason": "because", "version": 1 })));
    for refused in [
        json!({ "name": "Ada", "size": ["s"], "reason": "because", "owner": 1 }),
        json!({ "name": "Ada", "size": ["s"] }),
        json!({ "name": 5, "size": ["s"], "reason": "because" }),
        json!({ "name": "Ada", "size": ["s"], "reason": "because", "version": "1" }),
    ] {
        assert!(!read(refused.clone()), "{refused}");
    }
}
