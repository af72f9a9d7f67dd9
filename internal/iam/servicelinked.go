package iam

import (
	"errors"
	"slices"
	"strings"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/table"
)

const (
	linkedPath = "/aws-service-role/" // and the service
	linkedName = "AWSServiceRoleFor"

	// deletionsKept is how long the outcome of a deletion can be asked for.
	deletionsKept = 7 * 24 * time.Hour
)

// linkedService is a service that has service-linked roles.
type linkedService struct {
	principal string
	name      string // what follows AWSServiceRoleFor
	suffix    bool   // it can have several, told apart by a suffix
}

// linkedServices is the literal table ("AWS services that work with IAM", and the pages on
// service-linked roles of each). Others are refused: what their roles
// are called is not known here.
var linkedServices = []linkedService{
	{"access-analyzer.amazonaws.com", "AccessAnalyzer", false},
	{"autoscaling.amazonaws.com", "AutoScaling", true},
	{"backup.amazonaws.com", "Backup", false},
	{"batch.amazonaws.com", "Batch", false},
	{"cks.kms.amazonaws.com", "KeyManagementServiceCustomKeyStores", false},
	{"cloudtrail.amazonaws.com", "CloudTrail", false},
	{"config.amazonaws.com", "Config", false},
	{"dax.amazonaws.com", "DAX", false},
	{"dynamodb.application-autoscaling.amazonaws.com", "ApplicationAutoScaling_DynamoDBTable", false},
	{"ec2scheduled.amazonaws.com", "EC2ScheduledInstances", false},
	{"ecs.amazonaws.com", "ECS", false},
	{"ecs.application-autoscaling.amazonaws.com", "ApplicationAutoScaling_ECSService", false},
	{"eks.amazonaws.com", "AmazonEKS", false},
	{"eks-fargate.amazonaws.com", "AmazonEKSForFargate", false},
	{"eks-nodegroup.amazonaws.com", "AmazonEKSNodegroup", false},
	{"elasticache.amazonaws.com", "ElastiCache", false},
	{"elasticbeanstalk.amazonaws.com", "ElasticBeanstalk", false},
	{"elasticfilesystem.amazonaws.com", "AmazonElasticFileSystem", false},
	{"elasticloadbalancing.amazonaws.com", "ElasticLoadBalancing", false},
	{"elasticmapreduce.amazonaws.com", "EMRCleanup", false},
	{"es.amazonaws.com", "AmazonElasticsearchService", false},
	{"fsx.amazonaws.com", "AmazonFSx", false},
	{"globalaccelerator.amazonaws.com", "GlobalAccelerator", false},
	{"guardduty.amazonaws.com", "AmazonGuardDuty", false},
	{"inspector2.amazonaws.com", "AmazonInspector2", false},
	{"kafka.amazonaws.com", "Kafka", false},
	{"lambda.application-autoscaling.amazonaws.com", "ApplicationAutoScaling_LambdaConcurrency", false},
	{"macie.amazonaws.com", "AmazonMacie", false},
	{"mrk.kms.amazonaws.com", "KeyManagementServiceMultiRegionKeys", false},
	{"network-firewall.amazonaws.com", "NetworkFirewall", false},
	{"opensearchservice.amazonaws.com", "AmazonOpenSearchService", false},
	{"ops.apigateway.amazonaws.com", "APIGateway", false},
	{"organizations.amazonaws.com", "Organizations", false},
	{"rds.amazonaws.com", "RDS", false},
	{"redshift.amazonaws.com", "Redshift", false},
	{"replication.dynamodb.amazonaws.com", "DynamoDBReplication", false},
	{"resource-explorer-2.amazonaws.com", "ResourceExplorer", false},
	{"securityhub.amazonaws.com", "SecurityHub", false},
	{"spot.amazonaws.com", "EC2Spot", false},
	{"spotfleet.amazonaws.com", "EC2SpotFleet", false},
	{"ssm.amazonaws.com", "AmazonSSM", false},
	{"sso.amazonaws.com", "SSO", false},
	{"support.amazonaws.com", "Support", false},
	{"transitgateway.amazonaws.com", "VPCTransitGateway", false},
	{"trustedadvisor.amazonaws.com", "TrustedAdvisor", false},
	{"vpc-lattice.amazonaws.com", "VpcLattice", false},
	{"wafv2.amazonaws.com", "WAFV2Logging", false},
}

// RoleDeletion is a service-linked role that was deleted. AWS asks the service first,
// which takes time; here it is done at once, and only the outcome is asked for.
type RoleDeletion struct {
	Account string       `cbor:"1,keyasint"`
	Task    string       `cbor:"2,keyasint"` // "task/aws-service-role/SERVICE/ROLE/UUID"
	At      table.Millis `cbor:"3,keyasint"`
}

// RoleDeletions holds them by account and task.
var RoleDeletions = table.Collection[RoleDeletion]{
	Name:    "iam.roledeletion",
	Key:     func(d *RoleDeletion) table.Key { return table.K(d.Account, d.Task) },
	Indexes: []table.Index[RoleDeletion]{{Name: deletionByTime, Keys: func(d *RoleDeletion) []table.Key { return []table.Key{table.K(d.At.Part(), d.Account, d.Task)} }}},
}

const deletionByTime = "iam.roledeletion.time"

func (s *Service) serviceLinkedOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateServiceLinkedRole, resolveCreateServiceLinkedRole, createServiceLinkedRole),
		api.Bind(iamapi.DeleteServiceLinkedRole, resolveDeleteServiceLinkedRole, deleteServiceLinkedRole),
		api.Bind(iamapi.GetServiceLinkedRoleDeletionStatus, resolveGetServiceLinkedRoleDeletionStatus, getServiceLinkedRoleDeletionStatus),
	}
}

// linkedTarget is the service-linked role that is to be made.
type linkedTarget struct {
	entity
	service linkedService
}

func resolveCreateServiceLinkedRole(r *api.Request, in *iamapi.CreateServiceLinkedRoleInput) (t linkedTarget, a api.Access, err error) {
	i := slices.IndexFunc(linkedServices, func(s linkedService) bool { return s.principal == *in.AWSServiceName })
	if i < 0 {
		return t, a, iamapi.InvalidInputException("Coffer knows of no service-linked roles of " + *in.AWSServiceName + ".")
	}
	t.service = linkedServices[i]
	name := linkedName + t.service.name
	if in.CustomSuffix != nil {
		name += "_" + *in.CustomSuffix
	}
	t.entity = entity{r: r, kind: "role", path: linkedPath + t.service.principal + "/", name: name}
	return t, t.access(), nil
}

func createServiceLinkedRole(r *api.Request, in *iamapi.CreateServiceLinkedRoleInput, t linkedTarget) (*iamapi.CreateServiceLinkedRoleOutput, error) {
	if in.CustomSuffix != nil && !t.service.suffix {
		return nil, iamapi.InvalidInputException("Custom suffix is not allowed for " + t.service.principal)
	}
	if len(t.name) > 64 {
		return nil, iamapi.InvalidInputException("The role name " + t.name + " has more than 64 characters.")
	}
	switch _, err := findRole(r.Tx, r.Account, t.name); {
	case err == nil:
		return nil, iamapi.InvalidInputException("Service role name " + t.name + " has been taken in this account, please try a different suffix.")
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	role := &Role{
		ID: newID("AROA"), Account: r.Account, Name: t.name, Path: t.path, Created: table.At(r.Time),
		Description: api.Value(in.Description), MaxSession: defaultMaxSession, Service: t.service.principal,
		Trust: linkedTrust(t.service.principal),
	}
	if err := insertRole(r, role); err != nil {
		return nil, err
	}
	shown, err := role.described(r)
	return &iamapi.CreateServiceLinkedRoleOutput{Role: shown}, err
}

func resolveDeleteServiceLinkedRole(r *api.Request, in *iamapi.DeleteServiceLinkedRoleInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func deleteServiceLinkedRole(r *api.Request, _ *iamapi.DeleteServiceLinkedRoleInput, t *roleTarget) (*iamapi.DeleteServiceLinkedRoleOutput, error) {
	role, err := t.found()
	if err != nil {
		return nil, err
	}
	if role.Service == "" { // it is none of those
		return nil, noSuchRole(role.Name)
	}
	d := &RoleDeletion{Account: r.Account, Task: "task" + role.Path + role.Name + "/" + api.NewID(), At: table.At(r.Time)}
	if err := RoleDeletions.Insert(r.Tx, d); err != nil {
		return nil, err
	}
	return &iamapi.DeleteServiceLinkedRoleOutput{DeletionTaskId: &d.Task}, t.remove(role)
}

// resolveGetServiceLinkedRoleDeletionStatus: the resource is the role, whose
// path and name are in the task's id.
func resolveGetServiceLinkedRoleDeletionStatus(r *api.Request, in *iamapi.GetServiceLinkedRoleDeletionStatusInput) (struct{}, api.Access, error) {
	id := *in.DeletionTaskId
	rest, ok := strings.CutPrefix(id, "task"+linkedPath)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return struct{}{}, api.Access{}, iamapi.InvalidInputException("The deletion task id " + id + " is not valid.")
	}
	e := entity{r: r, kind: "role", path: linkedPath + parts[0] + "/", name: parts[1]}
	return struct{}{}, e.access(), nil
}

func getServiceLinkedRoleDeletionStatus(r *api.Request, in *iamapi.GetServiceLinkedRoleDeletionStatusInput, _ struct{}) (*iamapi.GetServiceLinkedRoleDeletionStatusOutput, error) {
	_, err := RoleDeletions.Get(r.Tx, table.K(r.Account, *in.DeletionTaskId))
	if errors.Is(err, table.ErrNotFound) {
		return nil, iamapi.NoSuchEntityException("Deletion Task Id cannot be found: " + *in.DeletionTaskId)
	}
	if err != nil {
		return nil, err
	}
	return &iamapi.GetServiceLinkedRoleDeletionStatusOutput{Status: new("SUCCEEDED")}, nil
}

// forgetDeletions deletes outcomes that nobody asks for any more.
func (s *Service) forgetDeletions(r *api.Request) (more bool, err error) {
	const batch = 30 // three operations each
	before := table.At(r.Time.Add(-deletionsKept)).Part()
	var old []table.Key
	for e, err := range RoleDeletions.ScanIndex(r.Tx, deletionByTime, table.Range{}) {
		if err != nil {
			return false, err
		}
		if e.Key.Parts()[0] >= before {
			break
		}
		if len(old) == batch {
			more = true
			break
		}
		old = append(old, e.Record)
	}
	for _, k := range old {
		if err := RoleDeletions.Delete(r.Tx, k); err != nil {
			return false, err
		}
	}
	return more, nil
}
