package mailbox
import ("testing";"net/http";"context";"os";"time";"log/slog";"net/url";"strconv"
"github.com/channelgraph/channelgraph/internal/database"
"github.com/channelgraph/channelgraph/internal/database/dbtest"
"github.com/channelgraph/channelgraph/internal/mail"
"github.com/channelgraph/channelgraph/internal/secret")
func TestShot(t *testing.T){
 if os.Getenv("SHOT")=="" {t.Skip()}
 box,err:=Open(t.TempDir(),time.Now); if err!=nil{t.Fatal(err)}
 u,_:=box.Start(""); p,_:=url.Parse(u); addr:=p.Host
 keys,_:=secret.NewKeys(make([]byte,32)); db:=dbtest.New(t)
 m,err:=mail.New(db,keys,mail.Config{SMTPURL:"smtp://"+addr,From:"partners@contoso.example",PublicURL:"http://localhost:8080",ProductName:"Contoso Partner Center",Operator:"Contoso Cloud Programme"},slog.New(slog.DiscardHandler)); if err!=nil{t.Fatal(err)}
 box.OnBounce(func(ctx context.Context,raw []byte)error{return nil})
 i:=0
 send:=func(d mail.Draft){ i++; d.Key=strconv.Itoa(i); var msg *mail.Message
  if err:=db.InTx(t.Context(),func(ctx context.Context,tx *database.Tx)(e error){msg,e=m.Queue(ctx,tx,d);return e});err!=nil{t.Fatal(err)}
  if err:=m.Deliver(t.Context(),msg.ID,mail.Hooks{});err!=nil{t.Fatal(err)} }
 send(mail.Draft{Template:"password_changed",Locale:"it",To:"giulia.bianchi@bianchi-informatica.example",Data:map[string]string{"Name":"Giulia Bianchi","ChangedAt":"2026-03-12T10:00:00Z"}})
 send(mail.Draft{Template:"partnership_accepted_provider",Locale:"en",To:"marco@nordwind.example",Data:map[string]string{"ResellerCompany":"Bianchi Informatica S.r.l.","AcceptedBy":"Giulia Bianchi","AcceptedAt":"2026-03-12T10:00:00Z"}})
 send(mail.Draft{Template:"user_invitation",Locale:"en",To:"a.very.long.mailbox.name.indeed@some-really-long-company-name.example",Data:map[string]string{"InviterName":"Marco Rinaldi","Organization":"Nordwind","ExpiresAt":"2026-03-12T10:00:00Z"},Link:&mail.Link{Purpose:"x",Prefix:"cgu",Path:"/l/join",SubjectID:"usr_00000000000000000000000000"}})
 for _,l:=range []string{"it","en"}{ send(mail.Draft{Template:"partnership_invitation",Locale:l,To:"giulia.bianchi@bianchi-informatica.example",Data:map[string]string{"InviterName":"Marco Rinaldi","InviterCompany":"Nordwind Distribution S.p.A.","ExpiresAt":"2026-04-11T10:00:00Z","Note":"Buongiorno Giulia,\n\ncome d'accordo le mando la richiesta.\n\nMarco"},Link:&mail.Link{Purpose:"x",Prefix:"cgi",Path:"/l/partnership",SubjectID:"inv_00000000000000000000000000"}})}
 _=box.SetFault(Fault{Mode:TempFail,Times:2})
 os.WriteFile("/tmp/shot.id",[]byte(box.List()[0].ID+" "+box.List()[1].ID),0o600)
 s:=&http.Server{Addr:"127.0.0.1:8791",Handler:box.Handler("/dev/mailbox/")}
 go s.ListenAndServe()
 time.Sleep(280*time.Second); s.Close()
}
