package access

// Permission is an act of the role matrix (spec section 1).
type Permission string

// The permissions of what is built; each concept that lands adds its own.
const (
	PermViewerRead              Permission = "viewer.read"
	PermUserRead                Permission = "user.read"
	PermUserManage              Permission = "user.manage"
	PermRoleManage              Permission = "role.manage"
	PermOrganizationRead        Permission = "organization.read"
	PermPartnerRead             Permission = "partner.read"
	PermPartnerRegister         Permission = "partner.register"
	PermPartnershipRead         Permission = "partnership.read"
	PermPartnershipRequest      Permission = "partnership.request"
	PermProviderAuthorize       Permission = "partnership.authorize"
	PermAdminAccessWithdraw     Permission = "partnership.withdraw_admin_access"
	PermPartnershipEnd          Permission = "partnership.end"
	PermTerminationDecide       Permission = "termination.decide"
	PermInvitationRead          Permission = "invitation.read"
	PermOperationRead           Permission = "operation.read"
	PermOperationManage         Permission = "operation.manage"
	PermMailRead                Permission = "mail.read"
	PermMailManage              Permission = "mail.manage"
	PermAuditRead               Permission = "audit.read"
	PermWebhookManage           Permission = "webhook.manage"
	PermCalendarManage          Permission = "calendar.manage"
	PermFileUpload              Permission = "file.upload"
	PermRegisterManage          Permission = "register.manage"
	PermEnrollmentRead          Permission = "enrollment.read"
	PermEnrollmentApply         Permission = "enrollment.apply"
	PermEnrollmentReview        Permission = "enrollment.review"
	PermLegalProfileEdit        Permission = "legal_profile.edit"
	PermSupportProfileEdit      Permission = "support_profile.edit"
	PermPartnerSuspend          Permission = "partner.suspend"
	PermPartnerStatusRead       Permission = "partner.read_status"
	PermAgreementRead           Permission = "agreement.read"
	PermAgreementSign           Permission = "agreement.sign"
	PermAgreementPublish        Permission = "agreement.publish"
	PermDirectoryEdit           Permission = "directory.edit"
	PermProfileUpdateRead       Permission = "profile_update.read"
	PermProfileUpdateReview     Permission = "profile_update.review"
	PermSupportRead             Permission = "support.read"
	PermSupportRequest          Permission = "support.request"
	PermSupportWork             Permission = "support.work"
	PermDeskRead                Permission = "desk.read"
	PermCustomerRead            Permission = "customer.read"
	PermCustomerAdd             Permission = "customer.add"
	PermCustomerInvite          Permission = "customer.invite"
	PermCustomerEdit            Permission = "customer.edit"
	PermCustomerRemove          Permission = "customer.remove"
	PermCustomerSuspend         Permission = "customer.suspend"
	PermCustomerAccept          Permission = "customer.accept"
	PermCustomerAgreementAttest Permission = "customer_agreement.attest"
	PermGrantRead               Permission = "grant.read"
	PermGrantWithdraw           Permission = "grant.withdraw"
	PermGrantRenew              Permission = "grant.renew"
	PermCatalogRead             Permission = "catalog.read"
	PermCatalogManage           Permission = "catalog.manage"
	PermOrderRead               Permission = "order.read"
	PermOrderSubmit             Permission = "order.submit"
	PermSubscriptionRead        Permission = "subscription.read"
	PermSubscriptionManage      Permission = "subscription.manage"
	PermSubscriptionAssociate   Permission = "subscription.associate"
	PermSubscriptionDesignate   Permission = "subscription.designate"
	PermTreeRead                Permission = "tree.read"
)

// Permissions lists all of them in a stable order.
var Permissions = []Permission{
	PermViewerRead, PermUserRead, PermUserManage, PermRoleManage, PermOrganizationRead, PermPartnerRead,
	PermPartnerRegister, PermPartnershipRead, PermPartnershipRequest, PermProviderAuthorize,
	PermAdminAccessWithdraw, PermPartnershipEnd, PermTerminationDecide, PermInvitationRead,
	PermOperationRead, PermOperationManage, PermMailRead, PermMailManage, PermAuditRead,
	PermWebhookManage,
	PermCalendarManage, PermFileUpload, PermRegisterManage, PermEnrollmentRead, PermEnrollmentApply, PermEnrollmentReview, PermLegalProfileEdit, PermSupportProfileEdit, PermPartnerSuspend, PermPartnerStatusRead, PermAgreementRead, PermAgreementSign, PermAgreementPublish,
	PermDirectoryEdit, PermProfileUpdateRead, PermProfileUpdateReview,
	PermSupportRead, PermSupportRequest, PermSupportWork, PermDeskRead,
	PermCustomerRead, PermCustomerAdd, PermCustomerInvite, PermCustomerEdit, PermCustomerRemove, PermCustomerSuspend, PermCustomerAccept, PermCustomerAgreementAttest,
	PermGrantRead, PermGrantWithdraw, PermGrantRenew, PermCatalogRead, PermCatalogManage, PermOrderRead, PermOrderSubmit,
	PermSubscriptionRead, PermSubscriptionManage, PermSubscriptionAssociate, PermSubscriptionDesignate, PermTreeRead,
}

type grant struct {
	kinds []Kind
	roles []Role
}

var (
	everybody = grant{Kinds, Roles}
	partners  = []Kind{IndirectProvider, IndirectReseller, DirectBill}
	parties   = []Kind{IndirectProvider, IndirectReseller, DirectBill, Customer}
	operator  = []Kind{Operator}
	customers = []Kind{Customer}
	// sellers buy from the operator; resellers transact through one of them.
	sellers = []Kind{IndirectProvider, DirectBill}
	// agents are the roles that deal with customers at all.
	agents = []Role{GlobalAdmin, BillingAdmin, AdminAgent, SalesAgent, HelpdeskAgent}
)

// matrix is the role matrix of spec section 1: a permission is given where
// one of its grants names both the kind of party and the role.
var matrix = map[Permission][]grant{
	PermViewerRead:       {everybody},
	PermOrganizationRead: {everybody},
	PermPartnerRead:      {everybody},
	PermUserRead: {
		{parties, []Role{GlobalAdmin, UserAdmin, AccountAdmin, AdminAgent}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermUserManage: {
		{parties, []Role{GlobalAdmin, UserAdmin, AccountAdmin}},
		{operator, []Role{OperatorAdmin}},
	},
	PermRoleManage: {
		{parties, []Role{GlobalAdmin, UserAdmin, AccountAdmin}},
		{operator, []Role{OperatorAdmin}},
	},
	PermPartnerRegister: {{operator, []Role{OperatorAdmin}}},
	PermPartnershipRead: {
		{partners, []Role{GlobalAdmin, UserAdmin, BillingAdmin, AdminAgent, SalesAgent, HelpdeskAgent, AccountAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermPartnershipRequest:  {{[]Kind{IndirectProvider}, []Role{GlobalAdmin, AdminAgent, SalesAgent}}},
	PermProviderAuthorize:   {{[]Kind{IndirectReseller}, []Role{GlobalAdmin}}},
	PermAdminAccessWithdraw: {{[]Kind{IndirectReseller}, []Role{GlobalAdmin}}},
	PermPartnershipEnd:      {{[]Kind{IndirectProvider, IndirectReseller}, []Role{GlobalAdmin}}},
	PermTerminationDecide:   {{operator, []Role{OperatorAdmin, Reviewer}}},
	PermInvitationRead: {
		{partners, []Role{GlobalAdmin, AdminAgent, SalesAgent}},
		{customers, []Role{GlobalAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermOperationRead: {
		{parties, []Role{GlobalAdmin, UserAdmin, BillingAdmin, AdminAgent, SalesAgent, HelpdeskAgent, AccountAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermOperationManage: {
		{parties, []Role{GlobalAdmin, AdminAgent, SalesAgent}},
		{operator, []Role{OperatorAdmin}},
	},
	PermMailRead:   {{operator, []Role{OperatorAdmin, Reviewer}}},
	PermMailManage: {{operator, []Role{OperatorAdmin}}},
	PermAuditRead: {
		{parties, []Role{GlobalAdmin, AdminAgent}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermWebhookManage: {
		{partners, []Role{GlobalAdmin}},
		{operator, []Role{OperatorAdmin}},
	},
	PermCalendarManage: {{operator, []Role{OperatorAdmin}}},
	PermFileUpload: {
		{parties, []Role{GlobalAdmin, AdminAgent, HelpdeskAgent, AccountAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermRegisterManage: {{operator, []Role{OperatorAdmin}}},
	PermEnrollmentRead: { // the row of the legal profile
		{partners, []Role{GlobalAdmin, UserAdmin}},
		{[]Kind{IndirectProvider, DirectBill}, []Role{AccountAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermEnrollmentApply:  {{partners, []Role{GlobalAdmin}}},
	PermEnrollmentReview: {{operator, []Role{OperatorAdmin, Reviewer}}},
	PermLegalProfileEdit: {
		{partners, []Role{GlobalAdmin}},
		{[]Kind{IndirectProvider, DirectBill}, []Role{AccountAdmin}},
	},
	PermSupportProfileEdit: {{partners, []Role{GlobalAdmin, AdminAgent, AccountAdmin}}},
	PermPartnerSuspend:     {{operator, []Role{OperatorAdmin}}},
	PermPartnerStatusRead: {
		{partners, []Role{GlobalAdmin, AdminAgent, SalesAgent}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermAgreementRead: {
		{partners, []Role{GlobalAdmin, AdminAgent, SalesAgent}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermAgreementSign:    {{partners, []Role{GlobalAdmin}}},
	PermAgreementPublish: {{operator, []Role{OperatorAdmin}}},
	PermDirectoryEdit:    {{[]Kind{IndirectProvider}, []Role{GlobalAdmin, AdminAgent, AccountAdmin}}},
	PermProfileUpdateRead: {
		{[]Kind{IndirectProvider}, []Role{GlobalAdmin, AdminAgent, AccountAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermProfileUpdateReview: {{operator, []Role{OperatorAdmin, Reviewer}}},
	PermSupportRead: {
		{partners, []Role{GlobalAdmin, AdminAgent, HelpdeskAgent, AccountAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermSupportRequest: {{partners, []Role{GlobalAdmin, AdminAgent, HelpdeskAgent, AccountAdmin}}},
	PermSupportWork:    {{operator, []Role{OperatorAdmin, Reviewer}}},
	PermDeskRead:       {{operator, []Role{OperatorAdmin, Reviewer}}},
	PermCustomerRead: {
		{partners, agents},
		{customers, []Role{GlobalAdmin, UserAdmin, BillingAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermCustomerAdd:    {{sellers, []Role{GlobalAdmin, AdminAgent, SalesAgent}}},
	PermCustomerInvite: {{partners, []Role{GlobalAdmin, AdminAgent, SalesAgent}}},
	PermCustomerEdit: {
		{partners, []Role{GlobalAdmin, AdminAgent, SalesAgent, HelpdeskAgent}},
		{customers, []Role{GlobalAdmin}},
	},
	PermCustomerRemove:          {{partners, []Role{GlobalAdmin, AdminAgent}}},
	PermCustomerSuspend:         {{operator, []Role{OperatorAdmin}}},
	PermCustomerAccept:          {{customers, []Role{GlobalAdmin}}},
	PermCustomerAgreementAttest: {{sellers, []Role{AdminAgent, SalesAgent}}},
	PermGrantRead: {
		{partners, []Role{GlobalAdmin, AdminAgent, SalesAgent, HelpdeskAgent}},
		{customers, []Role{GlobalAdmin, UserAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermGrantWithdraw: {{customers, []Role{GlobalAdmin}}},
	PermGrantRenew:    {{partners, []Role{GlobalAdmin, AdminAgent}}},
	PermCatalogRead: {
		{partners, agents},
		{customers, []Role{GlobalAdmin, BillingAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermCatalogManage: {{operator, []Role{OperatorAdmin}}},
	PermOrderRead: {
		{partners, agents},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermOrderSubmit: {{sellers, []Role{GlobalAdmin, BillingAdmin, AdminAgent, SalesAgent}}},
	PermSubscriptionRead: {
		{partners, agents},
		{customers, []Role{GlobalAdmin, UserAdmin, BillingAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
	PermSubscriptionManage:    {{sellers, []Role{GlobalAdmin, BillingAdmin, AdminAgent, SalesAgent}}},
	PermSubscriptionAssociate: {{[]Kind{IndirectProvider}, []Role{GlobalAdmin, AdminAgent, SalesAgent}}},
	PermSubscriptionDesignate: {{sellers, []Role{GlobalAdmin, AdminAgent, HelpdeskAgent}}},
	PermTreeRead: {
		{partners, agents},
		{customers, []Role{GlobalAdmin, UserAdmin, BillingAdmin}},
		{operator, []Role{OperatorAdmin, Reviewer}},
	},
}

// Allowed is the matrix as a pure function.
func Allowed(k Kind, r Role, p Permission) bool {
	return granted(k, r, p) != turned(k, r, p)
}

func granted(k Kind, r Role, p Permission) bool {
	for _, g := range matrix[p] {
		if contains(g.kinds, k) && contains(g.roles, r) && contains(RolesOf(k), r) {
			return true
		}
	}
	return false
}

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}
