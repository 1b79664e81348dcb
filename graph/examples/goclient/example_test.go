package goclient_test

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/graph/examples/goclient"
)

// A provider asks a company for a partnership, waits until the mail has left,
// and lists its resellers.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	base, email, password := demo("global.admin@nordwind.example")
	client, err := goclient.SignIn(ctx, base, email, password)
	if err != nil {
		fmt.Println(err)
		return
	}

	invitation, work, err := goclient.Ask(ctx, client, "einkauf@alpenglow.example", "order-4711")
	if err != nil {
		fmt.Println(err)
		return
	}
	if work, err = goclient.Ended(ctx, client, work.Id); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("mail to", invitation.Recipient, work.State)

	for p, err := range goclient.Resellers(ctx, client, 2) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s (%s): %s, admin access %t\n", p.Reseller.LegalName, p.Reseller.Country, p.Status, p.HasAdminAccess)
	}

	// Output:
	// mail to einkauf@alpenglow.example SUCCEEDED
	// Atelier Numérique SARL (FR): ACTIVE, admin access false
	// Hofmann IT Systeme GmbH (DE): ACTIVE, admin access true
	// Kettering Cloud Services Ltd (GB): ACTIVE, admin access true
}

// The same key again gives the first result; what cannot be done says why.
func ExampleAsk() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	base, email, password := demo("global.admin@nordwind.example")
	client, err := goclient.SignIn(ctx, base, email, password)
	if err != nil {
		fmt.Println(err)
		return
	}

	first, _, err := goclient.Ask(ctx, client, "vendite@cirrus.example", "order-4712")
	if err != nil {
		fmt.Println(err)
		return
	}
	again, _, err := goclient.Ask(ctx, client, "vendite@cirrus.example", "order-4712")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the same invitation:", first.Id == again.Id)

	_, _, err = goclient.Ask(ctx, client, "vendite@cirrus.example", "order-4713")
	fmt.Println(goclient.Code(err))
	_, _, err = goclient.Ask(ctx, client, "no address", "order-4714")
	fmt.Println(goclient.Code(err))

	// Output:
	// the same invitation: true
	// INVITATION_PENDING
	// EMAIL_INVALID
}

// A program gets a token of its own instead of a password, and no more rights
// than it needs.
func ExampleMintToken() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	base, email, password := demo("global.admin@nordwind.example")
	person, err := goclient.SignIn(ctx, base, email, password)
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, err := goclient.MintToken(ctx, person, "reads the resellers", goclient.CapabilityPartnershipRead, goclient.CapabilityPartnerRead)
	if err != nil {
		fmt.Println(err)
		return
	}

	program := goclient.WithToken(base, secret)
	for p, err := range goclient.Resellers(ctx, program, 25) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(p.Reseller.LegalName)
	}
	_, _, err = goclient.Ask(ctx, program, "einkauf@alpenglow.example", "order-1")
	fmt.Println(goclient.Code(err))

	// The name is taken while the token works.
	_, err = goclient.MintToken(ctx, person, "reads the resellers", goclient.CapabilityPartnershipRead, goclient.CapabilityPartnerRead)
	fmt.Println(goclient.Code(err))

	// Output:
	// Atelier Numérique SARL
	// Hofmann IT Systeme GmbH
	// Kettering Cloud Services Ltd
	// FORBIDDEN
	// TOKEN_NAME_TAKEN
}

// Who may not ask is told with a code, too.
func ExampleCode() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	base, email, password := demo("global.admin@bianchi.example") // a reseller
	client, err := goclient.SignIn(ctx, base, email, password)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _, err = goclient.Ask(ctx, client, "einkauf@alpenglow.example", "order-1")
	fmt.Println(goclient.Code(err))

	_, _, err = goclient.Ask(ctx, goclient.WithToken(base, "revoked"), "einkauf@alpenglow.example", "order-1")
	fmt.Println(goclient.Code(err))

	// Output:
	// FORBIDDEN
	// TOKEN_INVALID
}
