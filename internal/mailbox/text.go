package mailbox

// words are the texts of the pages, by language and key.
var words = map[string]map[string]string{
	"en": {
		"title": "Development mailbox", "lead": "Every mail that this installation sends ends here. Nothing leaves this machine.",
		"all": "All recipients", "recipients": "Recipients", "search": "Search", "placeholder": "Subject, text or address", "empty": "No mail yet.",
		"emptyHint": "Mails appear here as soon as a job sends one.", "nothing": "Nothing matches.", "reset": "Show all", "refresh": "Refresh",
		"clear": "Delete all", "delete": "Delete", "back": "All mails", "from": "From", "to": "To", "date": "Written", "received": "Received", "language": "Language",
		"html": "HTML", "text": "Text", "headers": "Headers", "source": "Source", "download": "Download", "links": "Links in this mail", "noLinks": "This mail holds no link.",
		"token": "Code", "open": "Open", "bounce": "Simulate a bounce", "bounceHint": "Hands in a delivery report that says this mailbox does not exist.",
		"done-bounced": "The delivery report was handed in.", "done-deleted": "The mail was deleted.", "done-cleared": "All mails were deleted.",
		"done-failed": "The delivery report was not accepted. The log says why.", "size": "Size", "subject": "Subject", "none": "(no subject)", "noHTML": "This mail has no HTML part.",
		"noText": "This mail has no text part.", "faults": "Faults", "faultNow": "The server misbehaves on demand:", "faultOff": "The server takes every mail.",
		"missing": "This mail is no longer here.", "mails": "mails", "mail": "mail",
	},
	"it": {
		"title": "Casella di posta di sviluppo", "lead": "Qui arriva ogni messaggio inviato da questa installazione. Nulla lascia questo computer.",
		"all": "Tutti i destinatari", "recipients": "Destinatari", "search": "Cerca", "placeholder": "Oggetto, testo o indirizzo", "empty": "Ancora nessun messaggio.",
		"emptyHint": "I messaggi compaiono qui non appena un processo ne invia uno.", "nothing": "Nessun risultato.", "reset": "Mostra tutti", "refresh": "Aggiorna",
		"clear": "Elimina tutti", "delete": "Elimina", "back": "Tutti i messaggi", "from": "Da", "to": "A", "date": "Scritto", "received": "Ricevuto", "language": "Lingua",
		"html": "HTML", "text": "Testo", "headers": "Intestazioni", "source": "Sorgente", "download": "Scarica", "links": "Collegamenti nel messaggio", "noLinks": "Il messaggio non contiene collegamenti.",
		"token": "Codice", "open": "Apri", "bounce": "Simula un mancato recapito", "bounceHint": "Consegna una notifica secondo cui questa casella non esiste.",
		"done-bounced": "La notifica di mancato recapito è stata consegnata.", "done-deleted": "Il messaggio è stato eliminato.", "done-cleared": "Tutti i messaggi sono stati eliminati.",
		"done-failed": "La notifica di mancato recapito non è stata accettata. Il motivo è nel registro.", "size": "Dimensione", "subject": "Oggetto", "none": "(nessun oggetto)", "noHTML": "Il messaggio non ha una parte HTML.",
		"noText": "Il messaggio non ha una parte di testo.", "faults": "Guasti", "faultNow": "Il server simula un guasto:", "faultOff": "Il server accetta ogni messaggio.",
		"missing": "Questo messaggio non è più qui.", "mails": "messaggi", "mail": "messaggio",
	},
}

var monthNames = map[string][]string{
	"en": {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"},
	"it": {"gen", "feb", "mar", "apr", "mag", "giu", "lug", "ago", "set", "ott", "nov", "dic"},
}
