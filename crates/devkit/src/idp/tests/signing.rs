use super::*;

#[tokio::test]
async fn every_algorithm_verifies_and_rotation_keeps_or_drops() {
    let idp = provider().await;
    for (alg, name) in [(Alg::Rs256, "RS256"), (Alg::Es256, "ES256"), (Alg::EdDsa, "EdDSA")] {
        idp.set_key(alg);
        let old = id_token(&idp).await;
        assert_eq!(part(&old, 0)["alg"], name);
        assert!(verified(&idp, &old).await, "{name}");
        idp.rotate_keys();
        let new = id_token(&idp).await;
        assert_ne!(part(&old, 0)["kid"], part(&new, 0)["kid"]);
        assert!(verified(&idp, &old).await && verified(&idp, &new).await);
        idp.rotate_keys_and_drop_old();
        assert!(!verified(&idp, &old).await && !verified(&idp, &new).await);
        assert!(verified(&idp, &id_token(&idp).await).await);
    }
}

#[tokio::test]
async fn a_logout_token_reaches_the_client() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let idp = provider().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/backchannel", app.local_addr().unwrap());
    let mut client = idp.client("app").unwrap();
    client.backchannel_logout_uri = Some(uri);
    idp.register(client);
    let (status, body) =
        tokio::join!(idp.send_backchannel_logout("app", Some("ann"), Some("sid-1"), LogoutFault::None), async {
            let (mut stream, _) = app.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
    assert_eq!(status.unwrap(), 204);
    let token = body.split_once("logout_token=").unwrap().1;
    assert_eq!(part(token, 0)["typ"], "logout+jwt");
    assert!(verified(&idp, token).await);
    let claims = part(token, 1);
    assert_eq!((&claims["sub"], &claims["sid"]), (&"ann".into(), &"sid-1".into()));
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(claims.get("nonce").is_none());
    for &fault in LogoutFault::ALL {
        assert_eq!(idp.logout_token("app", Some("ann"), Some("sid-1"), fault).split('.').count(), 3);
    }
}
